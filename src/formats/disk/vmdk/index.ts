/** VMDK: a text descriptor and the extents it names make a disk; so does an extent alone. */

import type { Damage } from '../../../core/damage.ts';
import type { Cx, Format } from '../../../core/format.ts';
import { decodeName, encodeName, printable } from '../../../core/locator.ts';
import { MapSource } from '../../../core/map-source.ts';
import { type Backing, type Node, NotThis } from '../../../core/node.ts';
import { STATED, VERIFIED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { readText } from '../../text.ts';
import { assemble } from './assemble.ts';
import { NO_PARENT, PLACEHOLDER } from './chains.ts';
import { contentId, type Descriptor, isDescriptor, parseDescriptor, SECTOR } from './descriptor.ts';
import { type Kind, kindOf, openExtent, ownPlace, traceOf } from './extent.ts';
import { BELOW, joined, type Layer, type Part, UNKNOWN, type Wish, ZEROS } from './layer.ts';
import { mender } from './mend.ts';
import { withLost } from './place.ts';
import { cowdHeader, seHeader, seVolatile, sparseHeader } from './structs.ts';
import { Window } from './window.ts';

/** A descriptor is a text of a few kilobytes; what is larger is a disk itself. */
const MOST = 1024 * 1024;
/** Sectors that a descriptor inside an extent may take, and where it stands where nothing says so. */
const MAX_TEXT_SECTORS = 2048;
const TEXT_AT = 1;
const TEXT_SECTORS = 20;

export const vmdk: Format = {
  id: 'vmdk',
  layer: 'disk',
  title: 'VMDK disk',
  spec: 'vmdk.md',
  gaps: [
    'Raw device mappings are named; their bytes are on another disk.',
    'The journal of a seSparse delta is not replayed; where one waits, nothing of the delta is more than inferred.',
    'A seSparse delta whose constant header is lost is read by its tables where a descriptor says how large the disk is, as guessed; its backmap is not read.',
    'Grains that no table claims are put where the file systems of the guest have something, in the order in which they lie, which is guessed; not in disks with a parent, nor above 4 GiB of them.',
    'Encrypted disks are named, not decrypted.',
    'Descriptors are made anew for flat files and snapshot deltas, not for split extents (-s001, -f001).',
  ],
  laid: [
    { table: sparseHeader, at: 0, mark: { at: 0, text: 'KDMV' } },
    { table: sparseHeader, at: -1024, mark: { at: 0, text: 'KDMV' } },
    { table: cowdHeader, at: 0, mark: { at: 0, text: 'COWD' } },
    { table: seHeader, at: 0, mark: { at: 0, text: '\xbe\xba\xfe\xca' } },
    { table: seVolatile, at: 512, mark: { at: 0, text: '\xfe\xca\xfe\xca' } },
  ],
  names: ['.vmdk'],
  mender,
  async probe(source, cx) {
    if (source.size === 0) return 0;
    if (source.size <= MOST && isDescriptor((await readText(source, 4096)).raw)) return 90;
    if ((await kindOf(source)) !== undefined) return 95;
    if ((await embedded(source, undefined)) !== undefined) return 60;
    return (await traceOf(source, nameOf(cx), ownPlace(source, cx))) === undefined ? 0 : 40;
  },
  async open(source, cx) {
    const kind = await kindOf(source);
    const text = kind === undefined && source.size <= MOST ? await readText(source, MOST) : undefined;
    if (text === undefined || !isDescriptor(text.raw)) return openAlone(source, kind, cx);
    const descriptor = parseDescriptor(text.raw);
    const damage: Damage[] = text.gaps.map((gap) =>
      cx.damage(gap.offset, 'vmdk.unreadable', 'readable text', gap.code, 'extents named there are not known'),
    );
    const { parts, layers } = await assemble(descriptor, source, isDelta(descriptor), damage, cx);
    const whole = await withLost({ parts, layers }, damage, cx);
    return diskNode({ descriptor, parts: whole, layers, damage, textAt: 0, isWhole: false }, cx);
  },
};

/** A descriptor inside an extent, and where it starts. */
interface Text {
  readonly descriptor: Descriptor;
  readonly at: number;
}

async function embedded(source: Source, kind: Kind | undefined): Promise<Text | undefined> {
  if (kind === 'VMFSSPARSE' || kind === 'SESPARSE' || source.size < (TEXT_AT + TEXT_SECTORS) * SECTOR) return undefined;
  const header = sparseHeader.decode(await new Window(source, SECTOR).bytes(0, SECTOR));
  const says = kind === 'SPARSE' && header.descriptorOffset > 0 && header.descriptorSize <= MAX_TEXT_SECTORS;
  const places = says ? [[header.descriptorOffset, header.descriptorSize]] : [];
  for (const [at, size] of [...places, [TEXT_AT, TEXT_SECTORS]]) {
    if ((at + size) * SECTOR > source.size) continue;
    const bytes = await new Window(source, SECTOR).bytes(at * SECTOR, size * SECTOR);
    const raw = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
    if (/^# Disk DescriptorFile/i.test(raw)) return { descriptor: parseDescriptor(raw), at: at * SECTOR };
  }
  return undefined;
}

/** An extent that was opened itself: with the descriptor in it, or as its own layer. */
async function openAlone(source: Source, kind: Kind | undefined, cx: Cx): Promise<Node> {
  const place = ownPlace(source, cx);
  const text = await embedded(source, kind);
  const is = kind ?? (text === undefined ? await traceOf(source, nameOf(cx), place) : 'SPARSE');
  if (is === undefined) throw new NotThis('no VMDK descriptor text and no sparse extent');
  const { descriptor } = text ?? {};
  const isSplit = /-\d{6}(-s\d{3})?\.vmdk$/i.test(nameOf(cx));
  const alone = is !== 'SPARSE' || isSplit ? BELOW : UNKNOWN;
  const hole = descriptor === undefined ? alone : isDelta(descriptor) ? BELOW : ZEROS;
  const own = descriptor?.extents.length === 1 ? descriptor.extents[0].sectors : undefined;
  const isStream = /^streamoptimized$/i.test(descriptor?.values.get('createtype') ?? '');
  const wish: Wish = {
    hole,
    most: kind === undefined ? STATED : VERIFIED,
    ...(own !== undefined && own > 0 && { sectors: own }),
    ...(isStream && { isStream }),
  };
  const layer = await openExtent(place, is, wish);
  if (layer === undefined) throw new NotThis('a sparse extent without a header and tables');
  const parts = [{ length: layer.sectors * SECTOR, mapping: layer.mapping }];
  const damage = [...layer.damage];
  if (own !== undefined && own !== layer.sectors) {
    const effect = 'the header decides, and what it says is inferred';
    damage.push(cx.damage(text!.at, 'vmdk.extent-capacity', `${layer.sectors} sectors`, `${own}`, effect));
  }
  const whole = await withLost({ parts, layers: [layer] }, damage, cx);
  return diskNode(
    { descriptor, parts: whole, layers: [layer], damage, textAt: text?.at ?? 0, isWhole: true, kind: is },
    cx,
  );
}

interface Opened {
  readonly descriptor: Descriptor | undefined;
  readonly parts: readonly Part[];
  readonly layers: readonly Layer[];
  readonly damage: readonly Damage[];
  /** Where the descriptor starts. */
  readonly textAt: number;
  /** All extents are in the file itself. */
  readonly isWhole: boolean;
  readonly kind?: Kind;
}

function diskNode({ descriptor, parts, layers, damage, textAt, isWhole, kind }: Opened, cx: Cx): Node {
  const value = (key: string): string => printable(descriptor?.values.get(key.toLowerCase()) ?? '');
  const map = new MapSource(
    parts.reduce((sum, { length }) => sum + length, 0),
    joined(parts),
  );
  const parent = descriptor?.values.get('parentfilenamehint');
  const isChild = descriptor !== undefined && isDelta(descriptor);
  const cid = contentId(value('CID'));
  const createType = descriptor === undefined ? (kind ?? '') : value('createType');
  const isEncrypted =
    descriptor !== undefined && [...descriptor.values.keys()].some((key) => /encryptionkeys/.test(key));
  const notices = layers.flatMap((layer) => layer.notices);
  if (isEncrypted) notices.push('The descriptor names encryption keys: its bytes are encrypted.');
  return {
    name: 'vmdk',
    rawName: 'vmdk',
    locator: cx.self,
    kind: 'disk',
    state: 'live',
    format: vmdk.title,
    facts: {
      size: map.size,
      details: {
        createType,
        ...(descriptor !== undefined && {
          cid: value('CID'),
          parentCid: value('parentCID'),
          ...(value('ddb.adapterType') !== '' && { adapter: value('ddb.adapterType') }),
        }),
        ...(layers.length === 1 && layers[0].details),
        ...(isChild && { parent: encodeName(parent ?? '') }),
      },
    },
    damage,
    ...(notices.length > 0 && { notices }),
    disk: {
      createType,
      extents: isWhole ? [] : (descriptor?.extents ?? []).map((e) => e.file).filter((file) => file !== ''),
      ...(isChild && parent !== undefined && { parent }),
    },
    ...(isChild && { backing: backingOf(descriptor, textAt) }),
    identities: cid === '' ? [] : [`cid:${cid}`, `cid:${cid}@${nameOf(cx)}`],
    check: async function* (signal) {
      for (const layer of layers) yield* layer.check(signal);
    },
    bytes: async () => map,
  };
}

/** Whether a descriptor is that of a disk that lies on another one. */
function isDelta({ values, extents }: Descriptor): boolean {
  // A name without an id is at odds with itself: then the disk by that name is read through, as inferred.
  if ((values.get('parentfilenamehint') ?? '') !== '') return true;
  const parent = values.get('parentcid')?.toLowerCase() ?? '';
  if (parent === NO_PARENT) return false;
  return parent !== '' || extents.some(({ type }) => type === 'VMFSSPARSE' || type === 'SESPARSE');
}

function backingOf({ values, positions }: Descriptor, textAt: number): Backing {
  const hint = values.get('parentfilenamehint') ?? '';
  const local = hint.replace(/^.*[\\/]/, '');
  const cid = contentId(values.get('parentcid') ?? '');
  // Disks that were never written to all have the same id: there the name has to agree as well.
  const identity = cid === PLACEHOLDER ? `cid:${cid}@${local}` : `cid:${cid}`;
  return {
    names: [...new Set([hint, local])].filter((name) => name !== ''),
    ...(/^[0-9a-f]{8}$/.test(cid) && { identity }),
    at: textAt + (positions.get('parentfilenamehint') ?? positions.get('parentcid') ?? 0),
  };
}

/** The name of the file that is being opened, as raw bytes. */
function nameOf(cx: Cx): string {
  return decodeName(cx.source.replace(/^.*[/:]/, ''));
}
