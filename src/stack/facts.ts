/** What is known of a node, in the words that every surface shows. */
import { printable } from '../core/locator.ts';
import type { Node } from '../core/node.ts';
import { CERTAINTY_NAMES } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import type { Summary } from './placed.ts';
import { modeText, shown, size, timeInFull } from './words.ts';

/** A label and what stands beside it. */
export type Row = readonly [label: string, value: string];

/** What is known of a node, as labels and values. */
export function factRows(node: Node): Row[] {
  const { facts } = node;
  const out: Row[] = [['kind', kindText(node)]];
  if (facts.size !== undefined) out.push(['size', sizeText(facts.size)]);
  if (facts.mode !== undefined) out.push(['mode', `${facts.mode.toString(8).padStart(4, '0')} (${modeText(node)})`]);
  if (facts.uid !== undefined) out.push(['owner', `user ${facts.uid}, group ${facts.gid}`]);
  if (facts.links !== undefined) out.push(['links', String(facts.links)]);
  for (const key of ['modified', 'changed', 'accessed'] as const) {
    const seconds = facts[key];
    if (seconds !== undefined) out.push([key, timeInFull(seconds)]);
  }
  if (facts.target !== undefined) out.push(['points to', printable(facts.target)]);
  for (const [key, value] of Object.entries(facts.details ?? {})) out.push([words(key), detailText(key, value)]);
  return out;
}

function kindText(node: Node): string {
  const state = node.state === 'live' ? '' : `, ${node.state}`;
  return `${node.kind}${state}${node.format === undefined ? '' : ` (${node.format})`}`;
}

function sizeText(bytes: number): string {
  return bytes < 1024 ? size(bytes) : `${bytes} bytes (${size(bytes)})`;
}

/** blockSize as people write it: block size. */
function words(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/** Facts that are times, in seconds since 1970. */
const TIMES: readonly string[] = ['created', 'deleted', 'mounted', 'written'];

function detailText(key: string, value: string | number | boolean): string {
  if (typeof value !== 'number') return shown(String(value));
  if (TIMES.includes(key)) return value === 0 ? 'never' : timeInFull(value);
  return /size$/i.test(key) || key === 'start' ? sizeText(value) : String(value);
}

/** What its bytes amount to, as labels and values. */
export function byteRows(node: Node, source: Source | undefined, sum: Summary | undefined): Row[] {
  if (source === undefined || sum === undefined) {
    const none = `none; a ${node.kind} has no bytes of its own`;
    return [['bytes', node.damage.length > 0 ? 'none that can be had' : none]];
  }
  const [data, zero, missing] = sum.states;
  const counted = CERTAINTY_NAMES.flatMap((name, i) => (sum.bytes[i] > 0 ? [`${sum.bytes[i]} ${name}`] : [])).reverse();
  // A directory's bytes are the list of its names, and a file system's are those of its root.
  const own = source.size === node.facts.size ? '' : `${source.size} of its own: `;
  const out: Row[] = [['bytes', own + (counted.join(', ') || 'none')]];
  out.push(['allocated', `${sizeText(data)} in ${sum.fragments} ${sum.fragments === 1 ? 'fragment' : 'fragments'}`]);
  if (zero > 0) out.push(['holes', `${sizeText(zero)} that read as zeros`]);
  if (missing > 0) out.push(['missing', sizeText(missing)]);
  if (sum.reasons.length > 0) out.push(['reasons', sum.reasons.join(', ')]);
  return out;
}
