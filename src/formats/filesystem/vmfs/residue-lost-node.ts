/** What is left over without a descriptor, as nodes. */

import { printable } from '../../../core/locator.ts';
import { data, segments } from '../../../core/map-source.ts';
import type { Node } from '../../../core/node.ts';
import { type Certainty, GUESSED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { startOf } from './carve.ts';
import { CHANGES, guessOf, HEAD_BYTES, SETTINGS } from './residue-content.ts';
import type { Lost } from './residue-lost.ts';
import { chainSource } from './residue-map.ts';
import type { Chain } from './residue-pointers.ts';
import { shareOf, withShare } from './residue-share.ts';
import type { Survey } from './residue-survey.ts';
import type { LooseText } from './residue-unowned.ts';
import type { Volume } from './volume.ts';

/** A file of pointer blocks, or of text in a sub-block, that no descriptor leads to. */
export async function lostNode(
  volume: Volume,
  survey: Survey,
  rawName: string,
  locator: string,
  lost: Lost,
): Promise<Node> {
  const { named, text, match } = lost;
  const base = { name: printable(rawName), rawName, locator, kind: 'file' as const, state: 'orphan' as const };
  const from = { name_from: named.from, ...(named.name !== rawName && { name: named.name }) };
  if (text !== undefined) return { ...base, ...textParts(volume, text, from) };
  const chain = match?.chain ?? (await asLongAsItsDisk(volume, survey, lost.chain!));
  const bytes = (): Promise<Source> =>
    match === undefined ? chainSource(volume, survey, chain, GUESSED) : survey.matchedBytes(match);
  const parts = await chainParts(volume, chain, bytes, { ...from, ...(match && { pointers_from: match.from }) });
  return withShare(volume, { ...base, ...parts }, chain.place, await shareOf(survey, await bytes()));
}

/**
 * A disk that was never written to its end has no pointers there: what its guest says is its size. Where its tables have
 * room for such pointers and have none, those are holes; what lies behind the tables is missing.
 */
async function asLongAsItsDisk(volume: Volume, survey: Survey, chain: Chain): Promise<Chain> {
  const head = new Uint8Array(Math.min(HEAD_BYTES, chain.size));
  await (await chainSource(volume, survey, chain, GUESSED)).read(0, head);
  const start = startOf(0, head, volume.volume.size);
  return start !== undefined && start.size > chain.size ? { ...chain, size: start.size } : chain;
}

type Parts = Pick<Node, 'facts' | 'damage' | 'bytes'>;

async function chainParts(
  volume: Volume,
  { place, size, tables, blocks }: Chain,
  bytes: () => Promise<Source>,
  more: Readonly<Record<string, string>>,
): Promise<Parts> {
  const expected = 'a file descriptor that leads to these pointer blocks';
  const own = { at: place, code: 'vmfs.pointers-unowned', expected, actual: 'none' };
  const head = new Uint8Array(Math.min(HEAD_BYTES, size));
  await (await bytes()).read(0, head);
  const like = guessOf(head)?.from;
  const details = { pointerBlocks: tables, blocks, ...(like !== undefined && { looks_like: like }), ...more };
  const damage = [volume.note(own, 'whose file this was, and where it ended, is known from what fits, if at all')];
  return { facts: { size, details }, damage, bytes };
}

function textParts(volume: Volume, text: LooseText, more: Readonly<Record<string, string>>): Parts {
  const { place, length, guess } = text;
  const { code } = kindOf(text);
  const isInside = code === IN_DESCRIPTOR.code;
  const expected = isInside
    ? 'a file descriptor that says what is in it'
    : 'a file descriptor that leads to this sub-block';
  const own = { at: place, code, expected, actual: isInside ? 'text alone' : 'none' };
  const bytes = async (): Promise<Source> => textSource(volume, text, GUESSED);
  const isText = ![SETTINGS.ending, CHANGES.ending].includes(guess.ending);
  const effect = isText ? ENDS_WITH_TEXT : 'it is known by its first bytes only, and where it ends is not known';
  const damage = [volume.note(own, effect)];
  return { facts: { size: length, details: { looks_like: guess.from, ...more } }, damage, bytes };
}

const ENDS_WITH_TEXT = 'it is known by its text only, and ends where the text does';
const IN_DESCRIPTOR = { what: 'file descriptor', code: 'vmfs.fd.text-alone' };
const IN_SUB_BLOCK = { what: 'sub-block', code: 'vmfs.sub-block-unowned' };

/** Texts are called after where they lie: 'sb-0x...', or 'fd-0x...' for what is left in a descriptor. */
function kindOf({ name }: Pick<LooseText, 'name'>): { readonly what: string; readonly code: string } {
  return name.startsWith('fd-') ? IN_DESCRIPTOR : IN_SUB_BLOCK;
}

/** The bytes of a text that no descriptor leads to. */
export function textSource(volume: Volume, { name, file, at, length }: LooseText, certainty: Certainty): Source {
  const { what: kind, code } = kindOf({ name });
  const what = `VMFS${volume.geometry.version} ${kind} ${name.slice('sb-'.length)}`;
  const why: Why = { what, source: file.source, at, code };
  return segments([data(file.source, at, length, certainty, why)]);
}
