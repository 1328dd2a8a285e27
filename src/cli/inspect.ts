/** salvor inspect: what is inside, layer by layer, how healthy it is, and what can be had. */
import type { Command } from 'commander';
import { quoted } from '../codec/shell.ts';
import { adviceIn, diagnose, type Layer, layerJson, sentencesOf, type Tally, titleOf } from '../stack/diagnosis.ts';
import type { Stack } from '../stack/stack.ts';
import { common, INTACT, NOTHING, UNCERTAIN, withStack } from './command.ts';
import { print, printJson, shown } from './output.ts';

export function register(program: Command): void {
  common(program.command('inspect'))
    .summary('say what is inside, how healthy it is, and what can be had')
    .description(
      'Reads metadata only and says, layer by layer, what is there, in which health, and what can be recovered.',
    )
    .argument('<source...>', 'images, disks or directories; all members of a spanned datastore, in any order')
    .addHelpText('after', EXAMPLES)
    .action((args: string[], options) =>
      withStack(args, options, (stack) => inspect(stack, args, options.json === true)),
    );
}

const EXAMPLES = `
Examples:
  salvor inspect /dev/sdb
  salvor inspect lun0.img lun1.img --json
  salvor inspect disk.img --as vmfs@1048576`;

async function inspect(stack: Stack, sources: readonly string[], json: boolean): Promise<number> {
  const { layers, found } = await diagnose(stack);
  const advice = adviceIn(layers);
  if (json) printJson({ sources: layers.map(layerJson), ...(advice.length > 0 && { advice }) });
  else
    print([...layers.flatMap((layer) => lines(layer, 0)), '', ...nextStep(found, advice, sources, layers)].join('\n'));
  if (found.known === 0) return NOTHING;
  return found.damaged > 0 ? UNCERTAIN : INTACT;
}

function lines(layer: Layer, depth: number): string[] {
  const indent = '  '.repeat(depth);
  const own = [titleOf(layer.node), ...sentencesOf(layer).map((line) => `  ${line}`)];
  return [...own.map((line) => `${indent}${line}`), ...layer.inside.flatMap((inner) => lines(inner, depth + 1))];
}

function nextStep(
  found: Tally,
  advice: readonly string[],
  sources: readonly string[],
  layers: readonly Layer[],
): string[] {
  const named = sources.map((one) => quoted(shown(one))).join(' ');
  if (found.known === 0) {
    return [
      'Nothing that Salvor knows was found where things begin. What starts anywhere else is found by reading all of it:',
      `  salvor scan ${named}`,
      'If you know where a datastore starts, say so:',
      `  salvor inspect ${named} --as vmfs@OFFSET`,
    ];
  }
  const had =
    found.damaged === 0
      ? 'No damage was found in the metadata; what is listed can be had.'
      : 'What is marked ! is damaged; the rest can be had (salvor tree --damaged follows every byte).';
  if (found.filesystems === 0 && advice.length > 0) return found.damaged === 0 ? [...advice] : [had, ...advice];
  const isMachine = (layer: Layer): boolean => (layer.node.machines ?? []).length > 0 || layer.inside.some(isMachine);
  if (found.filesystems === 0 && layers.some(isMachine))
    return [had, `Next: salvor plan ${named} says what the machine needs to start again.`];
  if (found.filesystems === 0)
    return [had, `Next: salvor convert ${quoted(shown(diskOf(layers) ?? sources[0]))} OUT.raw brings its bytes out.`];
  return [had, ...advice, `Next: salvor recover ${named} --out DIR`];
}

/** Of a folder, the first disk in it. */
function diskOf(layers: readonly Layer[]): string | undefined {
  if (layers[0]?.node.kind !== 'directory') return undefined;
  const waiting = [...layers];
  for (let layer = waiting.shift(); layer !== undefined; layer = waiting.shift()) {
    if (layer.node.kind === 'disk') return layer.node.locator;
    waiting.unshift(...layer.inside);
  }
  return undefined;
}
