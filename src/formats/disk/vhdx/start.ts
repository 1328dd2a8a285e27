/** Which header, log and regions of a VHDX are to be believed: each has a copy, or is in its usual place. Source: vhdx.md. */
import type { Damage } from '../../../core/damage.ts';
import { hex } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { type Certainty, INFERRED, STATED, weaker } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { guidText, isSet } from '../guid.ts';
import { changes, type Replay, replay } from './log.ts';
import {
  BAT_REGION,
  HEADERS,
  type Header,
  METADATA_REGION,
  MIB,
  REGION_TABLES,
  type Region,
  type Regions,
  readHeader,
  readRegions,
} from './structs.ts';

/** Where hosts put the log. */
const USUAL_LOG: Region = { at: MIB, length: MIB };

export interface Start {
  /** The file with its log replayed. */
  readonly view: Source;
  readonly header?: Header;
  readonly log: Region;
  readonly regions: Regions;
  readonly most: Certainty;
  readonly doubt: string;
  /** Log entries that were replayed. */
  readonly replayed: number;
}

type Note = (at: number, code: string, expected: string, actual: string, effect: string) => void;

/** Reads what stands before the tables of the disk, with what is wrong with it. */
export async function readStart(source: Source, damage: Damage[], cx: Cx): Promise<Start> {
  const note: Note = (at, code, expected, actual, effect) => {
    damage.push(cx.damage(at, `vhdx.${code}`, expected, actual, effect));
  };
  const chosen = await chooseHeader(source, note);
  const { header } = chosen;
  const log = header === undefined ? USUAL_LOG : { at: header.logAt, length: header.logLength };
  const table = await chooseRegions(source, note);
  const state = await replayed(source, chosen, log, table.regions, note);
  const doubts: { most: Certainty; doubt: string }[] = [
    { most: chosen.lost === 2 ? INFERRED : STATED, doubt: 'vhdx.header' },
    { most: table.most, doubt: 'vhdx.region-table' },
    { most: state.most, doubt: 'vhdx.log' },
  ];
  const doubt = doubts.find(({ most }) => most < STATED)?.doubt ?? 'vhdx.header';
  const most = doubts.reduce<Certainty>((sum, one) => weaker(sum, one.most), STATED);
  const { view, count } = state;
  return { view, ...(header && { header }), log, regions: table.regions, most, doubt, replayed: count };
}

interface Chosen {
  readonly header?: Header;
  /** Of the two. */
  readonly lost: number;
}

async function chooseHeader(source: Source, note: Note): Promise<Chosen> {
  let best: Header | undefined;
  let lost = 0;
  for (const at of HEADERS) {
    const found = await readHeader(source, at);
    if (found?.isSound !== true) {
      lost++;
      const actual = found === undefined ? 'none' : 'one that fails its checksum or ranges';
      note(at, 'header', 'a header', actual, 'the other header is used, if that can be');
    } else if (best === undefined || found.values.sequence > best.sequence) best = found.values;
  }
  if (best === undefined) {
    note(
      HEADERS[0],
      'headers-lost',
      'one of two headers',
      'none',
      'where its log lies and whether it was empty is not known: the disk is inferred, and no child knows it',
    );
  }
  return { ...(best && { header: best }), lost };
}

async function chooseRegions(source: Source, note: Note): Promise<{ regions: Regions; most: Certainty }> {
  const sound: Regions[] = [];
  let partial: Regions | undefined;
  for (const at of REGION_TABLES) {
    const found = await readRegions(source, at);
    if (found?.isSound) {
      sound.push(found.values);
      continue;
    }
    partial ??= found?.values;
    const actual = found === undefined ? 'none' : 'one that fails its checksum or ranges';
    note(at, 'region-table', 'a region table', actual, 'its copy is used, if that can be');
  }
  if (sound.length === 2 && describe(sound[0]) !== describe(sound[1])) {
    note(
      REGION_TABLES[1],
      'region-differs',
      describe(sound[0]),
      describe(sound[1]),
      'the first is used; the disk is inferred',
    );
    return { regions: sound[0], most: INFERRED };
  }
  if (sound.length > 0) return { regions: sound[0], most: STATED };
  return { regions: partial ?? new Map(), most: INFERRED };
}

function describe(regions: Regions): string {
  return [...regions]
    .map(([id, { at, length }]) => `${id} at ${hex(at)} of ${length}`)
    .sort()
    .join(', ');
}

async function replayed(
  source: Source,
  { header, lost }: Chosen,
  log: Region,
  regions: Regions,
  note: Note,
): Promise<{ view: Source; most: Certainty; count: number }> {
  const plain = { view: source, most: STATED, count: 0 } as const;
  const isEmpty = header !== undefined && !isSet(header.logId);
  if (isEmpty && lost === 0) return plain;
  const id = header === undefined || isEmpty ? undefined : guidText(header.logId);
  const found = await replay(source, log.at, log.length, id);
  if (found === undefined) {
    if (isEmpty || header === undefined) return plain;
    note(
      log.at,
      'log',
      `entries of the log ${id}`,
      'none that can be used',
      'changes that were under way are lost: tables may be torn, the disk is inferred',
    );
    return { ...plain, most: INFERRED };
  }
  shortOf(found, source, note);
  // With a header lost, or the log said to be empty, it counts only for what it would change.
  const wasOpen = header !== undefined && !isEmpty;
  const tables = [regions.get(BAT_REGION), regions.get(METADATA_REGION)].filter((one) => one !== undefined);
  if (!wasOpen && !(await changes(found, source, tables.map(within(source))))) return plain;
  if (wasOpen) {
    note(
      found.first,
      'log-replayed',
      'an empty log',
      `${found.entries} entries`,
      'the disk was not closed; it is shown as its log says, and the file is not touched',
    );
    if (found.isTorn)
      note(
        log.at,
        'log-torn',
        'a log whose last entry is whole',
        'one more that is broken',
        'changes may be lost that had been made: the disk is inferred',
      );
    return { view: found.view, most: found.isTorn ? INFERRED : STATED, count: found.entries };
  }
  note(
    found.first,
    'log-open',
    'a log whose entries are in their places',
    `${found.entries} entries that are not`,
    'a header is lost that may have said that the log was in use: it is replayed, the disk is inferred',
  );
  return { view: found.view, most: INFERRED, count: found.entries };
}

const within =
  (source: Source) =>
  ({ at, length }: Region): Region => ({ at, length: Math.max(0, Math.min(length, source.size - at)) });

function shortOf({ flushed }: Replay, source: Source, note: Note): void {
  if (flushed <= source.size) return;
  note(
    source.size,
    'truncated',
    `a file of at least ${hex(flushed)} bytes, as its log says`,
    hex(source.size),
    'blocks at its end are missing',
  );
}
