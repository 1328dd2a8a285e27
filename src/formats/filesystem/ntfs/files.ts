/** Files and directories of an NTFS volume as nodes. */
import type { Damage } from '../../../core/damage.ts';
import { MAX_DAMAGES } from '../../../core/limits.ts';
import { encodeName, printable } from '../../../core/locator.ts';
import { missing, segments } from '../../../core/map-source.ts';
import type { Facts, Kind, Node } from '../../../core/node.ts';
import type { Source } from '../../../core/source.ts';
import { ListedFile } from '../listed.ts';
import { bare, childNamed, type Place as PlaceInTree } from '../posix.ts';
import { childrenOf } from './children.ts';
import { dosAttributesOf, type File, informationOf } from './file.ts';
import type { Doubt, FileRecord } from './record.ts';
import { type Reparse, reparseOf, WOF } from './reparse.ts';
import { SPARSE } from './runs.ts';
import type { Stream } from './stream.ts';
import {
  ATTRIBUTE_COMPRESSED,
  ATTRIBUTE_ENCRYPTED,
  DATA_ATTRIBUTE,
  DOS_ATTRIBUTES,
  DOS_SYSTEM,
  EXTEND_RECORD,
  FIRST_USER_RECORD,
  nameOf,
  RECORD_DIRECTORY,
  REPARSE_POINT,
  ROOT_RECORD,
} from './structs.ts';
import type { Volume } from './volume.ts';
import { unpacked, WOF_STREAM } from './wof.ts';

/** Named streams of one file that are shown. */
const MAX_STREAMS = 4096;
/** What links of the POSIX subsystem begin with; UTF-16 follows. */
const POSIX_LINK = 'IntxLNK\x01';
const MAX_TARGET = 8192;
/** Sets of DOS attributes whose words are kept. */
const MAX_WORDS = 4096;

/** Where a node stands in the tree, by the records above it. */
export interface Place extends PlaceInTree {
  /** What the recycle bin says of it. */
  readonly details?: Readonly<Record<string, string | number>>;
}

/** The root directory; a node that is put together from the names of all files where its record is lost. */
export async function rootNode(volume: Volume, locator: string, name: string): Promise<Node> {
  const place: Place = { locator, rawName: name, above: [] };
  const record = await volume.records.get(ROOT_RECORD);
  if (record === undefined || !isDirectory(record)) {
    const at = Math.max(0, volume.records.place(ROOT_RECORD));
    const effect = 'what stands in it is known by what files say of themselves';
    volume.damage.push(volume.cx.damage(at, 'ntfs.root', 'the record of the root directory', 'none', effect));
    const children = (only?: string) =>
      childrenOf(volume, undefined, ROOT_RECORD, place, volume.damage, undefined, only);
    const node = { ...bare(place, 'filesystem'), damage: volume.damage };
    return { ...node, children: () => children(), child: (rawName) => childNamed(children(rawName), rawName) };
  }
  const [node] = await recordNodes(volume, record, place, [], volume.damage);
  return { ...node, kind: 'filesystem' };
}

function isDirectory({ flags }: FileRecord): boolean {
  return (flags & RECORD_DIRECTORY) !== 0;
}

/** A record as a node, with its named streams as more of them; `doubts` are those of what led to it. */
export async function recordNodes(
  volume: Volume,
  record: FileRecord,
  place: Place,
  doubts: readonly Doubt[],
  damage: Damage[] = [],
): Promise<Node[]> {
  const out: Node[] = [];
  await addNodes(volume, await volume.file(record, place.state === 'deleted'), place, doubts, damage, out);
  return out;
}

/**
 * Adds the node of a file, and those of its named streams, to `out`. A promise only where something has to be read first:
 * what stands in place of the file, or a link's text.
 */
export function addNodes(
  volume: Volume,
  file: File,
  place: Place,
  doubts: readonly Doubt[],
  damage: Damage[],
  out: Node[],
): Promise<void> | undefined {
  if (file.record.doubts.length + file.doubts.length + doubts.length > 0) {
    for (const doubt of [...file.record.doubts, ...file.doubts, ...doubts]) {
      if (damage.length < MAX_DAMAGES) damage.push(volume.note(doubt, 'what it leads to is inferred, not stated'));
    }
  }
  const stream = volume.stream(file, DATA_ATTRIBUTE);
  const said: Said = { volume, file, place, doubts, damage, stream };
  const hasReparse = file.attributes.some((one) => one.type === REPARSE_POINT);
  if (hasReparse || isPosixLink(file, stream)) return addLinked(said, hasReparse, out);
  addNode(said, undefined, undefined, out);
  return undefined;
}

/** A file as far as it is known before anything of it is read. */
interface Said {
  readonly volume: Volume;
  readonly file: File;
  readonly place: Place;
  readonly doubts: readonly Doubt[];
  readonly damage: Damage[];
  readonly stream: Stream | undefined;
}

async function addLinked(said: Said, hasReparse: boolean, out: Node[]): Promise<void> {
  const { volume, file, stream } = said;
  const reparse = hasReparse ? await reparseOf(volume, file) : undefined;
  const target = reparse?.target ?? (isPosixLink(file, stream) ? await posixTarget(volume, stream!) : undefined);
  addNode(said, reparse, target, out);
}

function addNode(said: Said, reparse: Reparse | undefined, target: string | undefined, out: Node[]): void {
  const { volume, file, place, doubts, damage, stream } = said;
  const { record } = file;
  const gone = place.state === 'deleted' || place.state === 'orphan' ? `ntfs.${place.state}` : undefined;
  const failed = doubts[0]?.code ?? file.doubts[0]?.code ?? gone;
  const isFirst = record.number < FIRST_USER_RECORD && record.number !== ROOT_RECORD;
  const isOwn = isFirst || place.above.includes(EXTEND_RECORD);
  if (target !== undefined) {
    const facts = { ...factsOf(file, stream, reparse, place), target };
    const bytes = stream && ((): Promise<Source> => contentOf(volume, file, stream, failed, place, reparse));
    out.push({ ...bare(place, 'symlink', facts, damage), ...(bytes && { bytes }) });
  } else if (isDirectory(record)) {
    const facts = factsOf(file, stream, reparse, place);
    out.push(directoryNode(said, isOwn ? 'system' : 'directory', facts, failed));
  } else {
    if (stream?.doubt !== undefined && !damage.some(({ code }) => code === stream.doubt)) {
      damage.push(volume.note(doubtOf(record, stream.doubt), 'its bytes are inferred at most'));
    }
    const kind = isOwn ? 'system' : 'file';
    const hasBytes = stream !== undefined;
    if (hasBytes) out.push(new RecordFile(kind, said, failed, reparse));
    else out.push(bare(place, kind, factsOf(file, stream, reparse, place), damage));
  }
  if (file.attributes.some((one) => one.type === DATA_ATTRIBUTE && one.name !== '')) {
    out.push(...streamNodes(volume, file, place, failed, reparse, factsOf(file, stream, reparse, place), isOwn));
  }
}

function directoryNode(said: Said, kind: Kind, facts: Facts, failed: string | undefined): Node {
  const { volume, file, place, damage } = said;
  const children = (only?: string) => childrenOf(volume, file, file.record.number, place, damage, failed, only);
  const child = (rawName: string): Promise<Node | undefined> => childNamed(children(rawName), rawName);
  return { ...bare(place, kind, facts, damage), children: () => children(), child };
}

/** A file with bytes. */
class RecordFile extends ListedFile {
  readonly #said: Said;
  readonly #failed: string | undefined;
  readonly #reparse: Reparse | undefined;

  constructor(kind: Kind, said: Said, failed: string | undefined, reparse: Reparse | undefined) {
    super(said.place, kind, said.damage);
    this.#said = said;
    this.#failed = failed;
    this.#reparse = reparse;
  }

  bytes(): Promise<Source> {
    const { volume, file, stream, place } = this.#said;
    return contentOf(volume, file, stream!, this.#failed, place, this.#reparse);
  }

  protected decoded(): Facts {
    const { file, stream, place } = this.#said;
    return factsOf(file, stream, this.#reparse, place);
  }
}

/** A stream whose map does not agree with itself. */
function doubtOf({ place }: FileRecord, code: string): Doubt {
  return { at: place, code, expected: 'a map of clusters whose checks agree', actual: 'another' };
}

/** The bytes of a file, which may be made of those of another stream. */
async function contentOf(
  volume: Volume,
  file: File,
  stream: Stream,
  failed: string | undefined,
  place: Place,
  reparse?: Reparse,
): Promise<Source> {
  const isDead = place.state === 'deleted';
  const packed = reparse?.tag === WOF ? volume.stream(file, DATA_ATTRIBUTE, WOF_STREAM) : undefined;
  if (packed === undefined || reparse === undefined) {
    // Where something stands in place of a file, holes in it are no zeros: what they hold is kept elsewhere.
    const isElsewhere =
      reparse !== undefined && reparse.target === undefined && stream.extents?.lcn.includes(SPARSE) === true;
    if (isElsewhere) return segments([missing(stream.size, { ...stream.why, code: reparse.code })]);
    return volume.bytes(stream, failed, isDead);
  }
  return unpacked(await volume.bytes(packed, failed, isDead), stream.size, reparse.algorithm, packed);
}

/** Named streams, each as a file of its own beside what it belongs to. */
function streamNodes(
  volume: Volume,
  file: File,
  place: Place,
  failed: string | undefined,
  reparse: Reparse | undefined,
  { modified, changed, accessed }: Facts,
  isOwn: boolean,
): Node[] {
  const times = { ...(modified !== undefined && { modified, changed, accessed }) };
  const out: Node[] = [];
  const seen = new Set<string>(reparse?.tag === WOF ? ['', WOF_STREAM] : ['']);
  for (const { type, name } of file.attributes) {
    if (type !== DATA_ATTRIBUTE || seen.has(name) || out.length >= MAX_STREAMS) continue;
    seen.add(name);
    const stream = volume.stream(file, DATA_ATTRIBUTE, name)!;
    const suffix = `:${name}`;
    const inner = { ...place, rawName: place.rawName + suffix, locator: `${place.locator}${encodeName(suffix)}` };
    const damage: Damage[] = [];
    if (stream.doubt !== undefined) {
      damage.push(volume.note(doubtOf(file.record, stream.doubt), 'its bytes are inferred at most'));
    }
    const facts = { size: stream.size, ...times, details: { record: file.record.number, stream: printable(name) } };
    const bytes = () => volume.bytes(stream, failed, place.state === 'deleted');
    out.push({ ...bare(inner, isOwn ? 'system' : 'file', facts, damage), bytes });
  }
  return out;
}

/** What a record says of its file, whether it lives or not. */
function factsOf(file: File, stream: Stream | undefined, reparse: Reparse | undefined, place: Place): Facts {
  const { record } = file;
  const details: Record<string, string | number | boolean> = { record: record.number, sequence: record.sequence };
  const information = informationOf(file);
  if (stream !== undefined) {
    details.allocation = stream.resident === undefined ? 'runs' : 'resident';
    details.allocated = stream.allocated;
    if ((stream.flags & ATTRIBUTE_COMPRESSED) !== 0) details.compressed = true;
    if ((stream.flags & ATTRIBUTE_ENCRYPTED) !== 0) details.encrypted = true;
  }
  if (reparse !== undefined) details.reparse = reparse.what;
  Object.assign(details, place.details);
  const size = stream?.size ?? 0;
  if (information === undefined) return { size, links: record.links, details };
  const { created, modified, changed, accessed, attributes } = information;
  details.created = created;
  const words = wordsOf(attributes);
  if (words !== '') details.attributes = words;
  return {
    size,
    links: record.links,
    modified,
    changed,
    accessed,
    details,
  };
}

const words = new Map<number, string>();

/** DOS attributes in words. Few sets of them are in use. */
function wordsOf(attributes: number): string {
  let known = words.get(attributes);
  if (known === undefined) {
    const set = Object.entries(DOS_ATTRIBUTES).filter(([bit]) => (attributes & Number(bit)) !== 0);
    known = set.map(([, word]) => word).join(', ');
    if (words.size < MAX_WORDS) words.set(attributes, known);
  }
  return known;
}

/** Whether a file may be a link of the POSIX subsystem: a short one that is marked as the system's. */
function isPosixLink(file: File, stream: Stream | undefined): boolean {
  if (stream === undefined || stream.size <= POSIX_LINK.length || stream.size > MAX_TARGET) return false;
  return (dosAttributesOf(file) & DOS_SYSTEM) !== 0;
}

async function posixTarget(volume: Volume, stream: Stream): Promise<string | undefined> {
  const bytes = new Uint8Array(stream.size);
  const gaps = await volume.checked(stream).read(0, bytes);
  const isLink =
    gaps.length === 0 && Buffer.from(bytes.subarray(0, POSIX_LINK.length)).toString('latin1') === POSIX_LINK;
  return isLink ? nameOf(bytes, POSIX_LINK.length, (stream.size - POSIX_LINK.length) >>> 1) : undefined;
}
