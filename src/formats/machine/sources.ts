/** What is left in a folder that says how its machine was configured. Source: vmconfig.md section 1. */
import { type KeyValues, parseKeyValues } from '../../codec/keyvalue.ts';
import { MAX_TEXT } from '../../core/limits.ts';
import type { Folder, Piece } from '../../core/mend.ts';
import { readText } from '../text.ts';
import { untangled } from '../untangle.ts';
import { type Log, parseLog } from './log.ts';

/** One source of settings. */
export interface Settings {
  readonly rawName: string;
  /** What it is in words: "the configuration dump in vmware.log". */
  readonly what: string;
  readonly values: KeyValues;
  /** All that it once said is in it. */
  readonly whole: boolean;
  readonly modified: number;
}

/** A configuration that stands under its own name. */
export interface Configuration extends Settings {
  /** Why it cannot be used as it is; empty where it can. */
  readonly faults: readonly string[];
}

export interface MachineTexts {
  readonly configurations: readonly Configuration[];
  /** Backups and logs, the best first. */
  readonly settings: readonly Settings[];
  /** Parents of disks by the logs. */
  readonly parents: ReadonlyMap<string, { readonly name: string; readonly from: string }>;
  /** Disks by the snapshot list. */
  readonly snapshots: readonly Snapshot[];
  readonly snapshotsIn?: string;
  /** What its configuration was called, by a .vmxf. */
  readonly named?: string;
  /** The snapshot that the machine goes on from. */
  readonly current?: string;
}

export interface Snapshot {
  readonly uid: string;
  readonly parent?: string;
  /** Descriptors that were in use before it was taken, by slot. */
  readonly disks: ReadonlyMap<string, string>;
}

export const NO_TEXTS: MachineTexts = { configurations: [], settings: [], parents: new Map(), snapshots: [] };

/** Names that speak of a machine. */
export const TRACES = /(\.(vmx|vmtx)(~|\.lck)?|\.(vmxf|vmsd|vmsn|vmss|nvram|vswp)|^vmware(-\d+)?\.log)$/i;
/** How a .vmxf names the configuration it belongs to: one of its own folder. */
const NAMED = /<vmxPathName\b[^>]{0,64}>([^<>&/\\\r\n"]{1,250}\.vm[tx]x?)<\/vmxPathName>/i;
const MAX_LOGS = 16;
const MAX_SNAPSHOTS = 512;

/** Whether these settings are those of a machine. */
export function isMachine(values: KeyValues): boolean {
  return ['config.version', 'virtualhw.version', 'guestos'].filter((key) => values.has(key)).length >= 2;
}

const gathered = new WeakMap<ReadonlyMap<string, Piece>, Promise<MachineTexts>>();

/** Reads all of a folder's texts about its machine, once for all who ask. */
export function machineTexts(folder: Folder): Promise<MachineTexts> {
  let texts = gathered.get(folder.pieces);
  if (texts === undefined) {
    texts = gather(folder);
    gathered.set(folder.pieces, texts);
  }
  return texts;
}

/** The configurations of a folder, sound or not. */
export async function configurationsOf(folder: Folder): Promise<Configuration[]> {
  const out: Configuration[] = [];
  for (const [rawName, piece] of folder.pieces) {
    if (!/\.(vmx|vmtx)$/i.test(rawName)) continue;
    const { faults, ...settings } = await settingsOf(piece);
    out.push({ ...settings, faults });
  }
  return out;
}

async function settingsOf(piece: Piece): Promise<Configuration> {
  const { rawName, facts } = piece;
  const text = await untangled(piece, (t) => isMachine(parseKeyValues(t)));
  const values = parseKeyValues(text?.text ?? '');
  const moved = piece.file === rawName ? [] : [`it is called ${piece.file} now`];
  const faults = [...(text?.faults ?? ['it cannot be read']), ...moved];
  return { rawName, what: rawName, values, whole: faults.length === 0, modified: facts.modified ?? 0, faults };
}

async function gather(folder: Folder): Promise<MachineTexts> {
  const backups: Settings[] = [];
  const logs: { piece: Piece; log: Log; at: readonly [number, number] }[] = [];
  let list: { values: KeyValues; name: string } | undefined;
  let named: string | undefined;
  for (const [rawName, piece] of folder.pieces) {
    if (/\.(vmx|vmtx)~$/i.test(rawName)) {
      const settings = await settingsOf(piece);
      if (isMachine(settings.values)) backups.push(settings);
    } else if (/^vmware(-\d+)?\.log$/i.test(rawName) && logs.length < MAX_LOGS) {
      logs.push({ piece, log: parseLog(await textOf(piece)), at: ageOf(piece) });
    } else if (/\.vmxf$/i.test(rawName)) {
      named ??= NAMED.exec(await textOf(piece))?.[1];
    } else if (/\.vmsd$/i.test(rawName)) {
      const text = await untangled(piece, (t) => /^snapshot\./m.test(t));
      list = { values: parseKeyValues(text?.text ?? ''), name: rawName };
    }
  }
  // The newest first: the log without a number is the one that was written to last, then the highest number.
  logs.sort((a, b) => b.at[0] - a.at[0] || b.at[1] - a.at[1]);
  const parents = new Map<string, { name: string; from: string }>();
  for (const { piece, log } of logs) {
    for (const [child, name] of log.parents) if (!parents.has(child)) parents.set(child, { name, from: piece.rawName });
  }
  const dumps = logs.flatMap(({ piece, log }) =>
    log.dump && isMachine(log.dump.values) ? [dumpOf(piece, log.dump)] : [],
  );
  const best = [...backups, ...dumps];
  const settings = [...best.filter((s) => s.whole), ...best.filter((s) => !s.whole)];
  const current = list?.values.get('snapshot.current');
  return {
    configurations: await configurationsOf(folder),
    settings,
    parents,
    snapshots: snapshotsOf(list?.values ?? new Map()),
    ...(list && { snapshotsIn: list.name }),
    ...(named !== undefined && { named }),
    ...(current !== undefined && { current }),
  };
}

async function textOf(piece: Piece): Promise<string> {
  const source = await piece.source();
  return source === undefined ? '' : (await readText(source, MAX_TEXT)).raw;
}

function ageOf(piece: Piece): readonly [number, number] {
  const number = /-(\d+)\.log$/i.exec(piece.rawName)?.[1];
  return [number === undefined ? Number.MAX_SAFE_INTEGER : Number(number), piece.facts.modified ?? 0];
}

function dumpOf(piece: Piece, dump: { values: KeyValues; whole: boolean }): Settings {
  const what = `the configuration in ${piece.rawName}`;
  return { rawName: piece.rawName, what, ...dump, modified: piece.facts.modified ?? 0 };
}

function snapshotsOf(values: KeyValues): Snapshot[] {
  const out: Snapshot[] = [];
  for (let i = 0; i < MAX_SNAPSHOTS; i++) {
    const uid = values.get(`snapshot${i}.uid`);
    if (uid === undefined) continue;
    const disks = new Map<string, string>();
    for (let d = 0; d < MAX_SNAPSHOTS; d++) {
      const file = values.get(`snapshot${i}.disk${d}.filename`);
      if (file === undefined) break;
      disks.set(values.get(`snapshot${i}.disk${d}.node`) ?? String(d), file);
    }
    const parent = values.get(`snapshot${i}.parent`);
    out.push({ uid, ...(parent !== undefined && { parent }), disks });
  }
  return out;
}
