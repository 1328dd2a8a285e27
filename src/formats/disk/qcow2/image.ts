/** Opens one image: header, tables, claims, and what had to be put back. */
import { type Damage, hex } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { NotThis } from '../../../core/node.ts';
import { INFERRED, STATED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { bitmapsOf } from './bitmaps.ts';
import { Census, MAX_CLUSTERS } from './census.ts';
import { detectGeometry } from './detect.ts';
import { blankDirectory, type Directory, LOST_TABLE, readDirectory, weaken } from './directory.ts';
import { type Geometry, geometryOf, type Words } from './geometry.ts';
import { fileNames, type Header, leftName, readHeader } from './header.ts';
import type { Image } from './map.ts';
import { type Refcounts, readRefcounts, settleRefcounts } from './refcounts.ts';
import { repair } from './repair.ts';
import { rebuilt } from './salvage.ts';
import { readSnapshots, type Snapshot, type SnapshotTable } from './snapshots.ts';
import { AUTOCLEAR, INCOMPATIBLE, MAX_L1_ENTRIES, pointer } from './structs.ts';

/** Bytes of a file in which the size of its clusters is looked for. */
const DETECTED: number = 1024 ** 3;

/** A state of the disk that is kept beside the live one. */
export interface State {
  readonly snapshot: Snapshot | undefined;
  readonly directory: Directory;
}

export interface Opened {
  readonly image: Image;
  readonly directory: Directory;
  readonly size: number;
  readonly states: readonly State[];
  readonly header: Header | undefined;
  readonly refcounts: Refcounts | undefined;
  readonly bitmaps: readonly string[];
  readonly notes: readonly string[];
  /** The backing file's name where it stands behind a header that is gone. */
  readonly left?: { readonly name: string; readonly at: number };
}

/** Opens what `file` holds; `doubt` is why nothing of it is stated. Throws NotThis where nothing of an image is found. */
export async function openImage(file: Source, cx: Cx, damage: Damage[], doubt?: string): Promise<Opened> {
  const read = await readHeader(file, cx, damage);
  const header = read && { ...read, code: read.code ?? doubt };
  if (header === undefined) return openWithout(file, cx, damage);
  const { geometry, size } = await geometryFor(file, header, cx, damage);
  const tried = [...damage];
  const opened = await openAs(file, header, geometry, size, cx, damage);
  if (!opened.image.census.isSparse) return opened;
  const other = await detectGeometry(file, DETECTED, 'qcow2.geometry');
  if (other === undefined || (other.clusterBits === geometry.clusterBits && other.extended === geometry.extended))
    return opened;
  const effect = `its tables have clusters of ${other.clusterSize} bytes, which is used; all bytes are inferred`;
  const expected = `clusters of ${geometry.clusterSize} bytes`;
  tried.push(cx.damage(20, 'qcow2.geometry', expected, 'none in every other place', effect));
  damage.splice(0, damage.length, ...tried);
  return openAs(file, header, { ...other, zstd: geometry.zstd || other.zstd }, size, cx, damage);
}

/** Opens an image by its header, cut up as `geometry` says. */
async function openAs(
  file: Source,
  header: Header,
  geometry: Geometry,
  size: number,
  cx: Cx,
  damage: Damage[],
): Promise<Opened> {
  const isExternal = header.dataFile !== undefined;
  const census = new Census(file, geometry, isExternal);
  const { values } = header;
  census.claimStructure(0, Math.max(header.end, 1));
  const slots = Math.min(MAX_L1_ENTRIES, Math.ceil(size / geometry.coverage));
  const read = await readDirectory(file, values.l1At, values.l1Entries, slots, geometry, cx, damage);
  if (read === undefined && slots > 0) {
    const actual = `${values.l1Entries} entries at ${hex(values.l1At)}`;
    const effect = 'L2 tables are looked for by their shape';
    damage.push(cx.damage(36, 'qcow2.l1', `an L1 table of ${slots} entries inside the file`, actual, effect));
  }
  const directory = read ?? blankDirectory(-1, slots, LOST_TABLE, geometry.certainty, 'qcow2.l1');
  if (read !== undefined) census.claimStructure(read.at, values.l1Entries * 8);
  const table = await readSnapshots(file, values.snapshotsAt, values.snapshotCount, cx, damage);
  const states = await statesOf(file, table, geometry, size, census, cx, damage);
  const refcounts = await readRefcounts(
    file,
    census,
    values.refcountTableAt,
    values.refcountTableClusters,
    values.refcountOrder,
    cx,
    damage,
  );
  const bitmaps = await bitmapsOf(file, header, census);
  if (header.luks !== undefined && header.luks.length >= pointer.size) {
    const { at, length } = pointer.decode(header.luks);
    if (at + length <= file.size) census.claimStructure(at, length);
  }
  await census.claim(directory, cx.signal);
  for (const state of states) await census.claim(state.directory, cx.signal);
  const isDirty = (values.incompatible & INCOMPATIBLE.dirty) !== 0;
  settleRefcounts(census, refcounts, isDirty, cx, damage);
  const known = states.map((state) => state.directory);
  const canAsk = header.backing === undefined && header.values.crypt === 0 && states.length === 0;
  const repaired = await repair(file, size, census, directory, known, canAsk, cx, damage);
  const lost = repaired.states.map((one) => ({ snapshot: undefined, directory: one }));
  const holes = holesOf(header, census, refcounts, repaired.leaked, cx, damage);
  const data = await dataSource(file, header, cx, damage);
  checkTop(directory, states, census);
  // Entries of 8 bytes that are read as such of 16 leave every other cluster without an owner.
  const isHalf = geometry.extended && census.leaked().length * 3 > census.clusters;
  const cut: Geometry = isHalf ? { ...geometry, certainty: INFERRED, code: 'qcow2.geometry' } : geometry;
  const image = imageOf(file, cut, census, header, data, repaired.remade, holes);
  const notes = notesOf(header);
  if (!census.complete)
    notes.push(`It has more than ${MAX_CLUSTERS} clusters: whether two entries claim one was not looked at.`);
  return { image, directory, size, states: [...states, ...lost], header, refcounts, bitmaps, notes };
}

/** How sure it is that what no table maps was never mapped: less where clusters are in use that nothing explains. */
function holesOf(
  header: Header,
  census: Census,
  refcounts: Refcounts,
  leaked: number,
  cx: Cx,
  damage: Damage[],
): Image['holes'] {
  const { excess } = census;
  const effect = 'something that led to them may be lost, so what nothing maps is inferred';
  if (leaked > 0) {
    const expected = 'every cluster in use to have an owner';
    damage.push(cx.damage(48, 'qcow2.leaks', expected, `${leaked} without one`, effect));
  } else if (excess > 0) {
    const expected = 'as many references to each cluster as are counted';
    damage.push(cx.damage(48, 'qcow2.references', expected, `${excess} with fewer`, effect));
  }
  const isCounted =
    !refcounts.lost && !damage.some(({ code }) => code === 'qcow2.refcounts' || code === 'qcow2.refcount-block');
  if (leaked > 0 || excess > 0) return { certainty: INFERRED, code: 'qcow2.leaks' };
  if (!isCounted) return { certainty: INFERRED, code: 'qcow2.refcounts' };
  return header.isNameLeft ? { certainty: INFERRED, code: 'qcow2.backing' } : { certainty: STATED };
}

/** An L1 table that is counted as free, or that two states share, may be a copy of the one that was meant. */
function checkTop(live: Directory, states: readonly State[], census: Census): void {
  const all = [live, ...states.map((state) => state.directory)];
  for (const directory of all) {
    if (directory.at < 0) continue;
    const isShared = all.some((other) => other !== directory && other.at === directory.at);
    const doubt = isShared ? 'qcow2.l1-shared' : census.doubtTable(directory.at);
    for (let slot = 0; doubt !== undefined && slot < directory.tables.length; slot++)
      weaken(directory, slot, INFERRED, doubt);
  }
}

function imageOf(
  file: Source,
  geometry: Geometry,
  census: Census,
  header: Header,
  data: Source | undefined,
  remade: ReadonlyMap<number, Words>,
  holes: Image['holes'],
): Image {
  const isExternal = header.dataFile !== undefined;
  const isRaw = isExternal && (header.values.autoclear & AUTOCLEAR.rawData) !== 0;
  return {
    file,
    geometry,
    census,
    data,
    isExternal,
    rawData: isRaw ? data : undefined,
    isEncrypted: header.values.crypt !== 0 || header.luks !== undefined,
    hasZeros: header.version > 2,
    remade,
    hasBacking: header.backing !== undefined,
    holes,
  };
}

/** The geometry that the header states, or the one that the tables show where the two cannot both be right. */
async function geometryFor(
  file: Source,
  header: Header,
  cx: Cx,
  damage: Damage[],
): Promise<{ geometry: Geometry; size: number }> {
  const { values, code } = header;
  const extended = (values.incompatible & INCOMPATIBLE.extendedL2) !== 0;
  const zstd = (values.incompatible & INCOMPATIBLE.compression) !== 0 && values.compression === 1;
  const certainty = code === undefined ? STATED : INFERRED;
  const stated = geometryOf(values.clusterBits, extended, zstd, certainty, code);
  const isAligned = [values.l1At, values.refcountTableAt].every((at) => at % stated.clusterSize === 0);
  const isEnough = Math.ceil(values.size / stated.coverage) <= values.l1Entries;
  if (isAligned && isEnough) return { geometry: stated, size: values.size };
  const expected = `an L1 table of ${Math.ceil(values.size / stated.coverage)} entries`;
  const detected = await detectGeometry(file, DETECTED, 'qcow2.geometry');
  const differs =
    detected !== undefined && (detected.clusterBits !== values.clusterBits || detected.extended !== extended);
  const effect = differs
    ? `its tables have clusters of ${detected.clusterSize} bytes${detected.extended ? ' with subclusters' : ''}, which is used`
    : 'what the table cannot map is missing';
  if (differs || !isEnough) damage.push(cx.damage(36, 'qcow2.geometry', expected, String(values.l1Entries), effect));
  if (!differs && isEnough) return { geometry: stated, size: values.size };
  if (!differs) return { geometry: { ...stated, certainty: INFERRED, code: 'qcow2.geometry' }, size: values.size };
  return { geometry: { ...detected, zstd: zstd || detected.zstd }, size: values.size };
}

async function statesOf(
  file: Source,
  table: SnapshotTable,
  geometry: Geometry,
  size: number,
  census: Census,
  cx: Cx,
  damage: Damage[],
): Promise<State[]> {
  census.claimStructure(table.at, table.length);
  const out: State[] = [];
  for (const snapshot of table.list) {
    const slots = Math.min(MAX_L1_ENTRIES, Math.ceil((snapshot.diskSize ?? size) / geometry.coverage));
    const directory = await readDirectory(file, snapshot.l1At, snapshot.l1Entries, slots, geometry, cx, damage);
    if (directory !== undefined) census.claimStructure(snapshot.l1At, snapshot.l1Entries * 8);
    else {
      const effect = 'this snapshot is missing';
      damage.push(cx.damage(snapshot.at, 'qcow2.snapshot', 'an L1 table inside the file', hex(snapshot.l1At), effect));
    }
    out.push({ snapshot, directory: directory ?? blankDirectory(-1, slots, LOST_TABLE, INFERRED, 'qcow2.snapshot') });
  }
  return out;
}

/** Where the clusters lie: in the file itself, or in the one it names. */
async function dataSource(file: Source, header: Header, cx: Cx, damage: Damage[]): Promise<Source | undefined> {
  if (header.dataFile === undefined) return file;
  for (const name of fileNames(header.dataFile)) {
    const [found] = await cx.siblings({ name });
    if (found !== undefined) return found.source;
  }
  const effect = 'all its data is missing; give the file or its directory as a further source';
  damage.push(
    cx.damage(header.values.headerLength, 'qcow2.data-file', `a data file "${header.dataFile}"`, 'none', effect),
  );
  return undefined;
}

function notesOf({ values }: Header): string[] {
  const out: string[] = [];
  if ((values.incompatible & INCOMPATIBLE.dirty) !== 0)
    out.push(
      'It was not closed (dirty bit): its reference counts may be out of date, which does not matter for reading.',
    );
  if ((values.incompatible & INCOMPATIBLE.corrupt) !== 0)
    out.push('It is marked as corrupt: QEMU met tables that contradict each other, and will not write to it.');
  if (values.crypt !== 0)
    out.push(
      `It is encrypted (${values.crypt === 1 ? 'legacy AES' : 'LUKS'}): its data cannot be read without the key.`,
    );
  return out;
}

/** An image without a header: what its tables show. */
async function openWithout(file: Source, cx: Cx, damage: Damage[]): Promise<Opened> {
  const code = 'qcow2.header';
  const geometry = await detectGeometry(file, DETECTED, code);
  const found = geometry === undefined ? undefined : await rebuilt(file, geometry, cx);
  if (geometry === undefined || found === undefined) throw new NotThis('no QCOW2 header, and no tables of one');
  const { size, placed } = found;
  const left = await leftName(file);
  const effect =
    `clusters of ${geometry.clusterSize} bytes by the shape of its tables, ${size} bytes by ${found.sizeFrom}; all bytes ` +
    `are inferred, and ${left === undefined ? 'whether there was a backing file is not known from it' : 'a name that is left is taken for its backing file'}`;
  damage.push(cx.damage(0, code, 'a QCOW2 header', 'none that makes sense', effect));
  if (placed !== undefined) {
    const lost = `L2 tables have their places by copies (${placed.copies}), shared entries (${placed.shared}), the guest's own structures (${placed.content}) or order (${placed.order})`;
    damage.push(cx.damage(0, 'qcow2.l1', 'a live L1 table', 'none', `${lost}; ${placed.left.length} have none`));
  }
  if (!found.whole)
    damage.push(
      cx.damage(
        0,
        'qcow2.survey',
        'a file that can be searched whole',
        hex(file.size),
        'tables behind that are not known',
      ),
    );
  const slots = Math.min(MAX_L1_ENTRIES, Math.ceil(size / geometry.coverage));
  const directory = grown(found.directory, slots);
  const census = new Census(file, geometry, false);
  await census.claim(directory, cx.signal);
  for (const state of found.states) await census.claim(state.directory, cx.signal);
  const image: Image = {
    file,
    geometry,
    census,
    data: file,
    isExternal: false,
    rawData: undefined,
    isEncrypted: false,
    hasZeros: true,
    remade: new Map(),
    // Whether there was one, and which, is for those to find out who see other files.
    hasBacking: true,
    holes: { certainty: INFERRED, code },
  };
  const more = left === undefined ? {} : { left };
  return {
    ...more,
    image,
    directory,
    size,
    states: found.states,
    header: undefined,
    refcounts: undefined,
    bitmaps: [],
    notes: [],
  };
}

/** A directory with empty slots up to the end of the disk, where it is known which slots are empty. */
function grown(directory: Directory, slots: number): Directory {
  if (directory.tables.length >= slots) return directory;
  const out = blankDirectory(directory.at, slots, 0, INFERRED, 'qcow2.l1');
  out.tables.set(directory.tables);
  out.grades.set(directory.grades);
  for (const [slot, code] of directory.codes) out.codes.set(slot, code);
  // Lost slots say that others may be lost, too.
  if (directory.tables.includes(LOST_TABLE)) out.tables.fill(LOST_TABLE, directory.tables.length);
  return out;
}
