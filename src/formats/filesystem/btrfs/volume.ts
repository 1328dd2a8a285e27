/** An opened btrfs volume: its devices, its chunks, its trees, and where their bytes lie. */

import { CheckedSource } from '../../../core/checked.ts';
import type { Damage } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { MAX_DAMAGES } from '../../../core/limits.ts';
import { data, missing, type Segment } from '../../../core/map-source.ts';
import { type Certainty, INFERRED, RunList, STATED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { latin1 } from '../../../core/struct.ts';
import { isSet, uuidText } from '../../disk/guid.ts';
import type { Chunks, Device } from './chunks.ts';
import type { Nodes, Pointer, TreeNode } from './nodes.ts';
import {
  KNOWN_FEATURES,
  ROOT,
  ROOT_BACKREF,
  ROOT_TREE,
  ROOT_UUIDS,
  rootItem,
  rootReference,
  rootUuids,
} from './structs.ts';
import { DataSums } from './sums.ts';
import type { Super } from './super.ts';
import { type Item, Tree } from './tree.ts';

/** A subvolume, as the tree of roots knows it. */
export interface Subvolume {
  readonly id: number;
  readonly tree: Tree;
  readonly directory: number;
  readonly generation: number;
  readonly isReadOnly: boolean;
  readonly references: number;
  readonly uuid?: string;
  readonly parent?: string;
}

/** Where a subvolume hangs. */
export interface Mount {
  readonly parent: number;
  readonly directory: number;
  readonly index: number;
  readonly name: string;
}

const READ_ONLY = 1;
const LAST = Number.POSITIVE_INFINITY;

export class Volume {
  readonly super: Super;
  readonly devices: readonly Device[];
  readonly chunks: Chunks;
  readonly nodes: Nodes;
  readonly cx: Cx;
  readonly damage: Damage[] = [];
  /** Directories by subvolume and inode, with the first place each was met in. */
  readonly directories = new Map<string, string>();
  /** Why nothing of the volume can be stated, where that is so. */
  readonly doubt: string | undefined;
  readonly roots: Tree;
  /** It lays its data in a way that is not read here. */
  readonly isForeign: boolean;
  readonly #checked = new WeakMap<object, CheckedSource>();
  readonly #subvolumes = new Map<number, Promise<Subvolume | undefined>>();

  constructor(first: Super, devices: readonly Device[], nodes: Nodes, cx: Cx, doubt?: string) {
    this.super = first;
    this.devices = devices;
    this.chunks = nodes.chunks;
    this.nodes = nodes;
    this.cx = cx;
    this.doubt = doubt;
    const { root, generation, rootLevel, incompatible, incompatibleHigh } = first.block;
    this.roots = new Tree(ROOT_TREE, nodes, { place: root, generation, level: rootLevel }, doubt);
    this.isForeign = (incompatible & ~KNOWN_FEATURES) !== 0 || incompatibleHigh !== 0;
  }

  /** A damage at a logical place, said once for each list it goes to. */
  note(place: number, code: string, expected: string, actual: string, effect: string, to = this.damage): void {
    const one = this.cx.damage(this.physical(place), code, expected, actual, effect);
    if (to.length < MAX_DAMAGES && !to.some((d) => d.at === one.at && d.code === code)) to.push(one);
  }

  /** Bytes from the start of the first device to a logical place; the place itself where none is known. */
  physical(logical: number): number {
    const chunk = this.chunks.at(logical);
    const list = new RunList(1);
    const reached = chunk?.best.runs(logical - chunk.logical, logical - chunk.logical + 1, list);
    return typeof reached === 'number' && list.n === 1 && list.sourceOf(0) !== undefined ? list.at[0] : logical || 0;
  }

  /** Where logical bytes lie, as far as chunks hold them; `past` are chunks that are no more. */
  place(logical: number, length: number, certainty: Certainty, why: Why, past?: Chunks): Segment[] {
    const out: Segment[] = [];
    for (let at = logical; at < logical + length; ) {
      const own = this.isForeign ? undefined : this.chunks.at(at);
      const chunk = own ?? (this.isForeign ? undefined : past?.at(at));
      if (chunk === undefined) {
        const code = this.isForeign ? 'btrfs.feature' : 'btrfs.chunk-missing';
        out.push(missing(logical + length - at, { ...why, code }));
        break;
      }
      const take = Math.min(logical + length, chunk.logical + chunk.length) - at;
      const source = own === undefined ? chunk.best : this.#checkedOf(own);
      out.push(data(source, at - chunk.logical, take, certainty, why));
      at += take;
    }
    return out;
  }

  /** The bytes of a chunk, held against the sums that are kept of them. */
  #checkedOf(chunk: Chunks['all'][number]): Source {
    const known = this.#checked.get(chunk) ?? new CheckedSource(new DataSums(this, chunk));
    this.#checked.set(chunk, known);
    return known;
  }

  /** A tree by its number, as the tree of roots has it now. */
  subvolume(id: number): Promise<Subvolume | undefined> {
    const known = this.#subvolumes.get(id) ?? this.#subvolume(id);
    this.#subvolumes.set(id, known);
    return known;
  }

  async tree(id: number): Promise<Tree | undefined> {
    return (await this.subvolume(id))?.tree;
  }

  async #subvolume(id: number): Promise<Subvolume | undefined> {
    let last: Item | undefined;
    for await (const item of this.roots.of(id, ROOT)) {
      if ('lost' in item && item.isPart) continue;
      if ('lost' in item)
        this.note(item.place, item.lost, `the root of tree ${id}`, 'none that can be read', 'it is missing');
      else if (item.size >= rootItem.size) last = item;
    }
    if (last === undefined) return undefined;
    return this.#decodeRoot(last);
  }

  /** What a root's item says. */
  #decodeRoot(item: Item): Subvolume {
    const { node, at, objectid: id, doubt } = item;
    const root = rootItem.decode(node.bytes, at);
    const pointer: Pointer = { place: root.place, generation: root.generation, level: root.level };
    const names = item.size >= ROOT_UUIDS ? rootUuids.decode(node.bytes, at) : undefined;
    return {
      id,
      tree: new Tree(id, this.nodes, pointer, doubt),
      directory: root.directory,
      generation: root.generation,
      isReadOnly: (root.flags & READ_ONLY) !== 0,
      references: root.references,
      ...(names !== undefined && isSet(names.uuid) && { uuid: uuidText(names.uuid) }),
      ...(names !== undefined && isSet(names.parent) && { parent: uuidText(names.parent) }),
    };
  }

  /** Numbers of all subvolumes but the one at the top. */
  async *subvolumes(first: number, most: number): AsyncGenerator<number> {
    let count = 0;
    for (let id = first; count++ < most; ) {
      let next: number | undefined;
      for await (const item of this.roots.items(
        { objectid: id, type: 0, offset: 0 },
        { objectid: 2 ** 48, type: 255, offset: LAST },
      )) {
        if ('lost' in item || item.type !== ROOT) continue;
        next = item.objectid;
        break;
      }
      if (next === undefined) return;
      yield next;
      id = next + 1;
    }
  }

  /** Where a subvolume hangs, as it says itself. */
  async mountOf(id: number): Promise<Mount | undefined> {
    for await (const item of this.roots.of(id, ROOT_BACKREF)) {
      if ('lost' in item || item.size < rootReference.size) continue;
      return mountIn(item, item.offset);
    }
    return undefined;
  }

  whyOf(what: string, node: TreeNode, at: number, code: string | undefined): Why {
    return { what, source: node.source, at: node.at + at, ...(code !== undefined && { code }) };
  }
}

/** A reference between subvolumes. */
export function mountIn({ node, at, size }: Item, parent: number): Mount {
  const { directory, index, nameBytes } = rootReference.decode(node.bytes, at);
  const name = latin1(node.bytes, at + rootReference.size, Math.min(nameBytes, size - rootReference.size));
  return { parent, directory, index, name };
}

export function gradeOf(doubt: string | undefined): Certainty {
  return doubt === undefined ? STATED : INFERRED;
}
