/** What a report says, gathered from the evidence, the case and the manifests of recoveries. */
import { quoted } from '../codec/shell.ts';
import { type Report, readManifest } from '../export/index.ts';
import { diagnose, type Layer, sentencesOf, titleOf } from '../stack/diagnosis.ts';
import { pictureOfRun } from './boot/kept.ts';
import type { Session } from './session.ts';

/** Everything that a report says, gathered by the child that has the evidence open. */
export async function gather(session: Session, program: string): Promise<Report> {
  const { case: own, stack } = session;
  const { layers } = await session.once('diagnosis', () => diagnose(stack));
  const sources = stack.roots.map((root) => root.locator);
  const evidence = (await stack.files()).map(({ source }) => ({
    path: source.path,
    size: source.size,
    ...own.registered(source),
    ...(own.whole(source) && { found: own.kinds(source) }),
  }));
  const recoveries: Report['recoveries'][number][] = [];
  for (const run of own.runs()) {
    if (run.kind !== 'recover' || run.state !== 'done') continue;
    const out = String(run.options.out);
    try {
      recoveries.push({ out, command: commandOf(sources, run.options), manifest: readManifest(out) });
    } catch {
      // It was moved away or changed; the log still says that it was made.
    }
  }
  const boots = own
    .runs()
    .filter(({ kind, state }) => kind === 'boot' && state === 'done')
    .map(({ id, ended, said }) => {
      const picture = pictureOfRun(own.dir, id);
      return {
        at: ended ?? '',
        said: said ?? '',
        ...(picture !== undefined && { screen: Buffer.from(picture).toString('base64') }),
      };
    });
  const { entries, ...custody } = own.custody();
  return {
    schema: 1,
    program,
    made: `${new Date().toISOString().slice(0, 19).replace('T', ' ')} UTC`,
    evidence,
    diagnosis: layers.flatMap((layer) => linesOf(layer, 0)),
    alarms: session.alarms,
    recoveries,
    boots,
    commands: [`salvor inspect ${sources.map(quoted).join(' ')}`, ...recoveries.map(({ command }) => command)],
    custody: { ...custody, entries: entries.map(({ at, program: by, said }) => ({ at, program: by, said })) },
  };
}

function linesOf(layer: Layer, depth: number): { depth: number; text: string; wrong: boolean }[] {
  const said = sentencesOf(layer).map((line) => ({ depth: depth + 1, text: line, wrong: line.startsWith('! ') }));
  const own = { depth, text: titleOf(layer.node), wrong: false };
  return [own, ...said, ...layer.inside.flatMap((inner) => linesOf(inner, depth + 1))];
}

/** The command line that does what was asked for in the browser. */
function commandOf(sources: readonly string[], options: Readonly<Record<string, unknown>>): string {
  const { out, locators, vm, deep, fill, sha256 } = options;
  const words = ['salvor recover', ...sources.map(quoted), '--out', quoted(String(out))];
  if (Array.isArray(locators)) words.push('--choose', ...locators.map((one) => quoted(String(one))));
  if (typeof vm === 'string') words.push('--vm', quoted(vm));
  if (deep === true) words.push('--deep');
  if (typeof fill === 'string' && fill !== 'zero') words.push('--fill', fill);
  if (sha256 === true) words.push('--sha256');
  return words.join(' ');
}
