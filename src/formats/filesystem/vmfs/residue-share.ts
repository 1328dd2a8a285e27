/** How much of a file that is gone is still there, and which live files hold the rest. */

import { printable } from '../../../core/locator.ts';
import type { Node } from '../../../core/node.ts';
import { DATA, MISSING, RunList, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import type { Survey } from './residue-survey.ts';
import type { Volume } from './volume.ts';

export const OVERWRITTEN = 'vmfs.overwritten';

/** The shares of one file, in bytes. */
interface Share {
  readonly data: number;
  readonly missing: number;
  readonly overwritten: number;
  /** Files that hold its blocks now: those with the most first. */
  readonly by: readonly string[];
}

/** Files that are named; more are counted. */
const MAX_NAMED = 4;

/** Why bytes are missing that a live file has taken; it keeps which file that was. */
export interface TakenWhy extends Why {
  readonly owner?: number;
}

/** Adds up what the runs of a file say. Nothing is read. */
export async function shareOf(survey: Survey, source: Source): Promise<Share> {
  const taken = new Map<number, number>();
  let [data, missing, overwritten] = [0, 0, 0];
  const list = new RunList();
  for (let at = 0; at < source.size; ) {
    list.clear();
    at = await source.runs(at, source.size, list);
    for (let i = 0; i < list.n; i++) {
      const length = list.length[i];
      if (list.state(i) === DATA) data += length;
      if (list.state(i) !== MISSING) continue;
      missing += length;
      const why: TakenWhy | undefined = list.why(i);
      if (why?.code !== OVERWRITTEN) continue;
      overwritten += length;
      if (why.owner !== undefined) taken.set(why.owner, (taken.get(why.owner) ?? 0) + length);
    }
    if (list.n === 0) break;
  }
  const owners = [...taken].sort((a, b) => b[1] - a[1] || a[0] - b[0]).map(([owner]) => owner);
  const by = owners.slice(0, MAX_NAMED).map((owner) => printable(survey.liveName(owner)));
  if (owners.length > MAX_NAMED) by.push(`${owners.length - MAX_NAMED} more`);
  return { data, missing, overwritten, by };
}

/** What live files have taken of a file: a fact, a notice and a damage. `at` is where its metadata lies. */
export function withShare(volume: Volume, node: Node, at: number, share: Share): Node {
  const { data, missing, overwritten, by } = share;
  const size = node.facts.size ?? 0;
  const details = { ...node.facts.details, bytesThere: data, ...(missing > 0 && { bytesMissing: missing }) };
  if (overwritten === 0) return { ...node, facts: { ...node.facts, details } };
  const names = by.length === 0 ? 'live files' : by.join(', ');
  const taken = `${percent(overwritten, size)} of it (${overwritten} bytes) is overwritten by ${names}`;
  const actual = `${overwritten} bytes lie in blocks of ${names}`;
  const own = { at, code: OVERWRITTEN, expected: 'blocks that no live file holds', actual };
  const damage = [...node.damage, volume.note(own, 'these ranges are missing, and no copy of them is known')];
  const facts = { ...node.facts, details: { ...details, overwritten, overwrittenBy: names } };
  return { ...node, facts, damage, notices: [...(node.notices ?? []), `${taken}; these ranges are missing.`] };
}

/** A share in per cent: never 100 where a byte is missing, never 0 where one is there. */
function percent(part: number, whole: number): string {
  if (part === 0 || whole === 0) return '0 %';
  if (part === whole) return '100 %';
  const tenths = Math.min(999, Math.max(1, Math.round((part / whole) * 1000)));
  return `${tenths / 10} %`;
}
