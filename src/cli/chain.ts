/** salvor chain: which disk lies on which, how that is known, and what else could lie there. */
import type { Command } from 'commander';
import { inQuotes, quoted } from '../codec/shell.ts';
import type { Disk } from '../stack/disks.ts';
import type { Guest } from '../stack/guests.ts';
import type { Offer } from '../stack/offers.ts';
import { type Level, type SolvedChain, solve } from '../stack/solve.ts';
import { chainJson, HOW, isWhole } from '../stack/solved.ts';
import { type CommonOptions, common, INTACT, NOTHING, UNCERTAIN, UsageError, withStack } from './command.ts';
import { print, printJson, shown, size, timeInFull } from './output.ts';

export function register(program: Command): void {
  common(program.command('chain'))
    .summary('say which disk lies on which, how that is known, and what else could lie there')
    .description(
      'Opens every disk in the sources alone and puts them into chains, from what a machine writes to down to the base. ' +
        'Where a parent is lost, or is not what its child needs, it tries what there is and says what each choice gives.',
    )
    .argument('<source...>', 'disks of any format, directories of them, or datastores')
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options: CommonOptions) =>
      withStack(args, options, async (stack, inner) => {
        if (inner !== undefined) throw new UsageError(`${inner} leads inside; name the disks or the datastore whole.`);
        const { chains, isCut } = await solve(stack);
        if (options.json === true) printJson({ chains: chains.map(chainJson), more: isCut });
        else print(page(chains, isCut, args).join('\n'));
        if (chains.length === 0) return NOTHING;
        return chains.every(isWhole) && !isCut ? INTACT : UNCERTAIN;
      }),
    );
}

const EXAMPLES = `
Examples:
  salvor chain /mnt/vm/web01
  salvor chain lun0.img --json
  salvor chain now.vmdk old/ --parent now.vmdk=old/base.vmdk    tries a parent; all commands take --parent
  salvor cat now.vmdk::vmdk --parent now.vmdk=old/base.vmdk > whole.raw`;

/** Sentences about the inside of a disk that are printed; --json has all. */
const MAX_TOLD = 6;

function page(chains: readonly SolvedChain[], isCut: boolean, sources: readonly string[]): string[] {
  if (chains.length === 0) return [`No disk was found in ${sources.join(' ')}.`];
  const out: string[] = [];
  for (const chain of chains) out.push(...lines(chain, sources), '');
  if (isCut) out.push('There are more disks than are looked at; give fewer of them.');
  const sure = chains.filter(isWhole).length;
  return [...out, `${chains.length} chain${chains.length === 1 ? '' : 's'}, ${sure} whole and sure.`];
}

function lines({ levels, missing, guest, notices }: SolvedChain, sources: readonly string[]): string[] {
  const out: string[] = [];
  for (const [i, level] of levels.entries()) out.push(...levelLines(level, levels[i + 1]?.disk, sources));
  for (const notice of notices) out.push(`  ! ${shown(notice)}`);
  const whole = levels[0].disk.source.size;
  const had = missing === 0 ? 'nothing of it is missing' : `${missing} bytes of it are missing (${size(missing)})`;
  out.push(`  together ${size(whole)}, ${had}`, ...guestLines(guest, '  '));
  return out;
}

function levelLines({ disk, held, tie, users }: Level, below: Disk | undefined, sources: readonly string[]): string[] {
  const parts = [disk.layer?.format ?? 'plain sectors', size(disk.source.size), `${size(held.own)} in it`];
  if (disk.modified !== undefined) parts.push(`written ${timeInFull(disk.modified)}`);
  const out = [`${shown(disk.file.locator)}  ${parts.join(', ')}`];
  const damage = disk.layer?.damage.length ?? 0;
  if (damage > 0) out.push(`  ! ${damage} damage${damage === 1 ? '' : 's'}; salvor inspect tells`);
  if (users.length > 0) out.push(`  named by ${shown(users.join(', '))}`);
  if (tie === undefined) return out;
  const onto = below === undefined ? tie.wants : below.file.locator;
  out.push(`  on ${shown(onto)}: ${HOW[tie.how]}; ${shown(tie.reasons.join('; '))}`);
  for (const offer of tie.offers) out.push(...offerLines(offer, disk, sources));
  return out;
}

function offerLines(offer: Offer, child: Disk, sources: readonly string[]): string[] {
  const { disk, isTaken, isRejected, reasons, missing, guest } = offer;
  const verdict = isTaken ? 'taken' : isRejected ? 'rejected' : 'possible';
  const gives = missing === undefined ? '' : `; with it ${missing} bytes are missing`;
  const out = [
    `    ${verdict}: ${shown(disk.file.locator)}: ${shown(reasons.join('; ') || 'nothing speaks against it')}${gives}`,
  ];
  if (guest !== undefined) out.push(...guestLines(guest, '      '));
  if (!isTaken && !isRejected)
    out.push(
      `      to read through it: ${option(child, disk)} (after ${sources.map((one) => quoted(shown(one))).join(' ')})`,
    );
  return out;
}

function option(child: Disk, parent: Disk): string {
  const [a, b] = [child, parent].map(({ file }) => shown(file.locator).replaceAll('=', '%3D'));
  return `--parent ${inQuotes(`${a}=${b}`)}`;
}

function guestLines({ fits, clashes, unknown }: Guest, indent: string): string[] {
  const all = [
    ...clashes.map((line) => `${indent}! inside: ${line}`),
    ...unknown.map((line) => `${indent}? inside: ${line}`),
    ...fits.map((line) => `${indent}inside: ${line}`),
  ];
  return all.slice(0, MAX_TOLD).map(shown);
}
