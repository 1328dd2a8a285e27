/** +carved: disks that were recognised by their content alone, as nodes. */
import { encodeName, printable } from '../../../core/locator.ts';
import { data, missing, type Segment, segments } from '../../../core/map-source.ts';
import type { Node } from '../../../core/node.ts';
import { GUESSED, type Why } from '../../../core/run.ts';
import { BlockSet, type CarvedDisk, carvedDisks, own } from './carve.ts';
import { rootNode } from './files.ts';
import type { ResidueOf } from './residue.ts';
import type { Volume } from './volume.ts';

export const CARVED = '+carved';
/** Directory levels of what already has a name. */
const MAX_DEPTH = 64;

export class CarvedOf {
  readonly #volume: Volume;
  readonly #root: string;
  readonly #residue: ResidueOf;
  #disks: Promise<CarvedDisk[]> | undefined;

  /** `root` is the locator of the file system; what `residue` has is not carved again. */
  constructor(volume: Volume, root: string, residue: ResidueOf) {
    this.#volume = volume;
    this.#root = root;
    this.#residue = residue;
  }

  /** '+carved', which is always there; undefined for any other name. */
  node(rawName: string): Node | undefined {
    if (rawName !== CARVED) return undefined;
    const locator = `${this.#root}/${CARVED}`;
    const disks = async (): Promise<Node[]> => {
      this.#disks ??= this.#look();
      return (await this.#disks).map((disk) => this.#node(disk, locator));
    };
    return {
      name: CARVED,
      rawName: CARVED,
      locator,
      kind: 'directory',
      state: 'carved',
      facts: { mode: 0o755 },
      damage: [],
      async child(name) {
        return (await disks()).find((node) => node.rawName === name);
      },
      async *children() {
        yield* await disks();
      },
    };
  }

  async #look(): Promise<CarvedDisk[]> {
    const volume = this.#volume;
    const { blockSize, fdcAt } = volume.geometry;
    const owned = new BlockSet(Math.ceil(volume.volume.size / blockSize));
    for (let block = 0; block * blockSize < fdcAt; block++) owned.add(block);
    const doubtful = new BlockSet(Math.ceil(volume.volume.size / blockSize));
    for (const file of Object.values(volume.files)) await own(volume, file.source, doubtful);
    await this.#ownNamed(await rootNode(volume, this.#root, ''), owned, 0);
    for (const name of ['+deleted', '+orphan']) await this.#ownNamed(this.#residue.node(name)!, owned, 0);
    return carvedDisks(volume, owned, doubtful);
  }

  async #ownNamed(folder: Node, owned: BlockSet, depth: number): Promise<void> {
    for await (const node of folder.children?.() ?? []) {
      if (node.children !== undefined && depth < MAX_DEPTH) await this.#ownNamed(node, owned, depth + 1);
      const source = await node.bytes?.();
      if (source !== undefined) await own(this.#volume, source, owned);
    }
  }

  #node(disk: CarvedDisk, folder: string): Node {
    const { blockSize } = this.#volume.geometry;
    const { blocks, size, what, label } = disk;
    const name = `block-${blocks[0]}-flat.vmdk`;
    const had = Math.min(size, blocks.length * blockSize);
    const known = label === undefined ? what : `${what} "${printable(label)}"`;
    const lost: Why = { what: `a disk that begins with ${known}`, code: 'vmfs.carved-end' };
    return {
      name,
      rawName: name,
      locator: `${folder}/${encodeName(name)}`,
      kind: 'file',
      state: 'carved',
      facts: { size, details: { looks_like: known, blocks: blocks.length } },
      damage: [],
      notices: [`It begins with ${known}; its blocks follow each other as ESXi gives them out, which is a guess.`],
      bytes: async () => segments([...this.#segments(blocks, had), ...(had < size ? [missing(size - had, lost)] : [])]),
    };
  }

  /** Blocks that lie side by side are one segment. */
  #segments(blocks: readonly number[], had: number): Segment[] {
    const { blockSize } = this.#volume.geometry;
    const out: Segment[] = [];
    for (let i = 0, at = 0; i < blocks.length && at < had; ) {
      let n = 1;
      while (i + n < blocks.length && blocks[i + n] === blocks[i] + n) n++;
      const start = blocks[i] * blockSize;
      const length = Math.min(n * blockSize, had - at);
      const why: Why = {
        what: 'the order in which ESXi gives out blocks',
        source: this.#volume.volume,
        at: start,
        code: 'vmfs.carved',
      };
      out.push(data(this.#volume.volume, start, length, GUESSED, why));
      at += length;
      i += n;
    }
    return out;
  }
}
