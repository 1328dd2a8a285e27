/** salvor ls: what is in a directory, a volume or a partition table. */
import type { Command } from 'commander';
import { printable } from '../core/locator.ts';
import type { Node } from '../core/node.ts';
import { childrenWith } from '../stack/residue.ts';
import { common, DELETED, health, INTACT, NOTHING, type Target, UNCERTAIN, UsageError, withNode } from './command.ts';
import { damageLines, JsonList, modeText, nodeJson, note, Stream, time } from './output.ts';

export function register(program: Command): void {
  common(program.command('ls'))
    .summary('list what is in a directory, a volume or a disk')
    .description(
      'Lists the entries of a locator. With sources only: the one file system in them, or what there is to choose.',
    )
    .argument('<locator...>', 'SOURCE, SOURCE::FORMAT/PATH, or several SOURCES and a locator inside them')
    .option('--deleted', DELETED)
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options: LsOptions) => withNode(args, options, (target) => ls(target, options)));
}

interface LsOptions {
  readonly json?: boolean;
  readonly deleted?: boolean;
}

const EXAMPLES = `
Examples:
  salvor ls lun0.img                        the root of the one file system in it
  salvor ls lun0.img::/web01                a directory of it
  salvor ls lun0.img::gpt                   the partitions
  salvor ls lun0.img::vmfs/+deleted         files that were deleted, where their metadata survives
  salvor ls a.img b.img ::/web01 --json     a datastore on two devices, as JSON`;

async function ls({ stack, node, at }: Target, options: LsOptions): Promise<number> {
  const json = options.json === true;
  if (at !== undefined) throw new UsageError(`${node.locator}@${at} is one byte; salvor stat says where it lies.`);
  const inside = node.children === undefined ? ((await stack.inside(node)) ?? node) : node;
  const out = new Stream();
  const list = new JsonList(out);
  const { damage: _, ...head } = nodeJson(inside);
  if (json) await out.write(`${JSON.stringify(head).slice(0, -1)},"entries":[`);
  let count = 0;
  let hurt = false;
  const show = async (entry: Node): Promise<void> => {
    count++;
    hurt ||= health(entry) !== 0;
    await (json ? list.add(nodeJson(entry)) : out.line(line(entry)));
  };
  for await (const child of childrenWith(stack, inside, options.deleted === true ? 'deleted' : 'live'))
    await show(child);
  for (const snapshot of inside.snapshots ?? []) await show(snapshot);
  if (inside.children === undefined && inside.snapshots === undefined) await show(inside);
  // What is wrong with a directory is known once all of it was read.
  if (json) await out.write(`\n],"damage":${JSON.stringify(inside.damage)}}\n`);
  await out.end();
  if (!json) for (const one of damageLines(inside.damage, '')) note(one);
  if (count === 0 && inside.damage.length === 0) return inside.kind === 'directory' ? INTACT : NOTHING;
  return hurt ? UNCERTAIN : health(inside);
}

function line(node: Node): string {
  const bytes = String(node.facts.size ?? '-').padStart(15);
  const mark = node.damage.length > 0 ? ' !' : '';
  const arrow = node.facts.target === undefined ? '' : ` -> ${printable(node.facts.target)}`;
  const type = node.facts.details?.type;
  const what = node.kind === 'partition' && type !== undefined ? `  ${type}` : '';
  return `${modeText(node)} ${bytes} ${time(node.facts.modified)} ${node.name}${arrow}${what}${mark}`;
}
