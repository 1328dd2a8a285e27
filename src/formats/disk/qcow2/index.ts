/** QCOW2: clusters of a disk in a file, found through two levels of tables. */

import type { Damage } from '../../../core/damage.ts';
import type { Cx, Format } from '../../../core/format.ts';
import { encodeName, printable } from '../../../core/locator.ts';
import type { Backing, Node } from '../../../core/node.ts';
import type { Source } from '../../../core/source.ts';
import { checkImage } from './check.ts';
import { qcow2Finder } from './find.ts';
import { fileNames } from './header.ts';
import { type Opened, openImage, type State } from './image.ts';
import { mapOf } from './map.ts';
import { isHeader, looksLikeOne } from './probe.ts';
import { shifted, shiftOf } from './shifted.ts';
import { uniqueNames } from './snapshots.ts';
import { header, INCOMPATIBLE, LAZY_REFCOUNTS, MAGIC } from './structs.ts';

export const qcow2: Format = {
  id: 'qcow2',
  layer: 'disk',
  title: 'QCOW2 disk',
  spec: 'qcow2.md sections 1 to 8 and 11',
  gaps: [
    'Encrypted images (LUKS and legacy AES) are opened, and their data is missing: a key cannot be given yet.',
    'Bitmaps are listed, not read.',
    'The memory of snapshots that were taken of a running machine is not shown.',
    'Where an L2 table is lost, its clusters are put where they follow it, if all were allocated with it, else where the file systems of the guest have something, which is guessed; not in images with snapshots, a backing file, compressed clusters or subclusters.',
    'Where the header is lost, the name of the backing file is lost with it: a file beside it is taken for that by its content.',
  ],
  laid: [{ table: header, at: 0 }],
  names: ['.qcow2', '.qcow', '.img', '.qc2'],
  beneath: ['.qcow2', '.qc2'],
  find: qcow2Finder,
  probe: looksLikeOne,
  async open(source, cx) {
    const damage: Damage[] = [];
    const at = await startOf(source);
    if (at === 0) return nodeOf(await openImage(source, cx, damage), source, cx.self, damage, cx);
    const effect = `the image begins at ${at}, by its header and tables; all bytes are inferred`;
    damage.push(cx.damage(0, 'qcow2.shifted', 'a QCOW2 header', 'one farther behind', effect));
    const own: Cx = { ...cx, damage: (place, ...rest) => cx.damage(place + at, ...rest) };
    const image = shifted(source, at);
    return nodeOf(await openImage(image, own, damage, 'qcow2.shifted'), image, cx.self, damage, own);
  },
};

/** Where the image begins: at the start wherever anything there is a header. */
async function startOf(source: Source): Promise<number> {
  const head = new Uint8Array(Math.min(header.size, source.size));
  await source.read(0, head);
  if (head.length < header.size) return 0;
  const values = header.decode(head);
  return values.magic === MAGIC || isHeader(values, source.size) ? 0 : shiftOf(source);
}

function nodeOf(
  opened: Opened,
  source: Source,
  self: string,
  damage: Damage[],
  cx: Parameters<Format['open']>[1],
): Node {
  const { directory, header, image, notes, size } = opened;
  const backing = backingOf(opened);
  const names = uniqueNames(
    opened.states.map(
      ({ snapshot, directory: one }) =>
        snapshot ?? {
          id: '',
          name: '',
          l1At: 0,
          l1Entries: 0,
          created: 0,
          stateSize: 0,
          diskSize: undefined,
          at: one.at,
        },
    ),
  );
  const snapshots = opened.states.map((state, i) => snapshotNode(opened, state, names[i], self, backing));
  const map = mapOf(image, directory, size);
  return {
    name: qcow2.id,
    rawName: qcow2.id,
    locator: self,
    kind: 'disk',
    state: 'live',
    format: qcow2.title,
    facts: { size, details: detailsOf(opened) },
    damage,
    ...(notes.length > 0 && { notices: notes }),
    ...(backing !== undefined && { backing }),
    ...(snapshots.length > 0 && {
      snapshots,
      child: async (rawName: string) => snapshots.find((node) => node.rawName === rawName),
    }),
    bytes: async () => map,
    ...(header !== undefined && { check: (signal: AbortSignal) => checkImage(opened, source, cx, signal) }),
  };
}

function snapshotNode(opened: Opened, state: State, rawName: string, self: string, backing: Backing | undefined): Node {
  const { snapshot } = state;
  const size = snapshot?.diskSize ?? opened.size;
  const map = mapOf(opened.image, state.directory, size);
  return {
    name: printable(rawName),
    rawName,
    locator: `${self}/${encodeName(rawName)}`,
    kind: 'disk',
    state: snapshot === undefined ? 'orphan' : 'live',
    format: qcow2.title,
    facts: {
      size,
      ...(snapshot !== undefined && snapshot.created > 0 && { modified: snapshot.created }),
      details: {
        snapshot: true,
        ...(snapshot !== undefined && { id: printable(snapshot.id) }),
        ...(snapshot !== undefined && snapshot.stateSize > 0 && { stateSize: snapshot.stateSize }),
      },
    },
    damage: [],
    ...(backing !== undefined && { backing }),
    bytes: async () => map,
  };
}

function backingOf({ header, left }: Opened): Backing | undefined {
  if (left !== undefined) return { names: fileNames(left.name), at: left.at };
  // Only the header says whether there is a backing file.
  if (header === undefined) return { names: [], at: 0, isUnsure: true };
  if (header.backing === undefined) return undefined;
  const names = fileNames(header.backing);
  return {
    names,
    at: header.backingAt,
    ...(header.backingFormat === 'raw' && { raw: true }),
  };
}

function detailsOf({ bitmaps, header, image }: Opened): Record<string, string | number | boolean> {
  const { geometry, isEncrypted } = image;
  const values = header?.values;
  const out: Record<string, string | number | boolean> = {
    clusterSize: geometry.clusterSize,
    extendedL2: geometry.extended,
    encrypted: isEncrypted,
  };
  if (values !== undefined && header !== undefined) {
    out.version = header.version;
    out.compression = geometry.zstd ? 'zstd' : 'deflate';
    out.refcountBits = 2 ** Math.min(6, values.refcountOrder);
    out.lazyRefcounts = (values.compatible & LAZY_REFCOUNTS) !== 0;
    out.dirty = (values.incompatible & INCOMPATIBLE.dirty) !== 0;
    out.corrupt = (values.incompatible & INCOMPATIBLE.corrupt) !== 0;
    if (header.backing !== undefined) out.parent = printable(header.backing);
    if (header.backingFormat !== undefined) out.parentFormat = printable(header.backingFormat);
    if (header.dataFile !== undefined) out.dataFile = printable(header.dataFile);
  }
  for (const [i, bitmap] of bitmaps.slice(0, 64).entries()) out[`bitmap${i + 1}`] = printable(bitmap);
  return out;
}
