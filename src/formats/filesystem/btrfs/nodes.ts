/** Nodes of btrfs trees, each checked against its sum, its own address, and what the pointer to it says. */

import type { Source } from '../../../core/source.ts';
import { readU64, viewOf } from '../../../core/struct.ts';
import { TableCache } from '../../../core/tables.ts';
import type { Chunks } from './chunks.ts';
import { BRANCH_ENTRY, LEAF_ENTRY, nodeHeader } from './structs.ts';
import { agrees, type Super } from './super.ts';

export interface TreeNode {
  /** Logical. */
  readonly place: number;
  readonly level: number;
  readonly generation: number;
  readonly owner: number;
  readonly n: number;
  readonly bytes: Uint8Array;
  /** Where its bytes lie: the copy that was used. */
  readonly source: Source;
  readonly at: number;
  readonly objectid: Float64Array;
  readonly type: Uint8Array;
  readonly offset: Float64Array;
  /** The check that failed, where one did. */
  readonly doubt?: string;
}

/** What a pointer says of the node it leads to. */
export interface Pointer {
  readonly place: number;
  readonly generation: number;
  readonly level: number;
}

export class Nodes {
  readonly super: Super;
  readonly chunks: Chunks;
  readonly #cache = new TableCache<TreeNode>();
  /** Nodes of which no copy is as its pointer says, by that: looked for once. */
  readonly #vain = new Map<string, 'lost' | 'doubted'>();

  constructor(first: Super, chunks: Chunks) {
    this.super = first;
    this.chunks = chunks;
  }

  get size(): number {
    return this.super.block.nodeSize;
  }

  /** The node that a pointer leads to, from the first copy in which all agrees; with a doubt where none does. */
  async get({ place, generation, level }: Pointer): Promise<TreeNode | undefined> {
    const key = `${place} ${level} ${generation}`;
    const held = this.#cache.get(place);
    const known = held?.level === level ? graded(held, generation) : undefined;
    if (known !== undefined && (known.doubt === undefined || this.#vain.has(key))) return known;
    if (this.#vain.get(key) === 'lost') return undefined;
    const chunk = this.chunks.at(place);
    const isInside = chunk !== undefined && place + this.size <= chunk.logical + chunk.length;
    let best: TreeNode | undefined;
    let raw: TreeNode | undefined;
    for (const source of isInside ? [chunk.best, ...chunk.others()] : []) {
      const node = await this.read(source, place - chunk!.logical, place);
      if (node === undefined || node.level !== level) continue;
      const found = graded(node, generation);
      if (best === undefined || (found.doubt === undefined && best.doubt !== undefined)) [best, raw] = [found, node];
      if (best.doubt === undefined) break;
    }
    if (best === undefined) this.#vain.set(key, 'lost');
    else if (best.doubt !== undefined) this.#vain.set(key, 'doubted');
    // As it stands: whether its generation is the one wanted depends on who asks.
    if (raw !== undefined) this.#cache.set(place, raw, this.size * 2);
    return best;
  }

  /** The node at `at` of `source`, whatever its level; undefined where there is none that says it is at `place`. */
  async read(source: Source, at: number, place?: number): Promise<TreeNode | undefined> {
    const bytes = new Uint8Array(this.size);
    const gaps = await source.read(at, bytes);
    return gaps.length > 0 ? undefined : this.decode(bytes, source, at, place);
  }

  /** Decodes a node; undefined where these bytes are none of this volume. */
  decode(bytes: Uint8Array, source: Source, at: number, place?: number): TreeNode | undefined {
    const head = nodeHeader.decode(bytes);
    const isOwn = Buffer.from(head.fsid).toString('hex') === this.super.nodeUuid;
    const entry = head.level === 0 ? LEAF_ENTRY : BRANCH_ENTRY;
    const most = Math.floor((this.size - nodeHeader.size) / entry);
    if (!isOwn || (place !== undefined && head.place !== place) || head.level > 7 || head.items > most)
      return undefined;
    const n = head.items;
    const node = {
      place: head.place,
      level: head.level,
      generation: head.generation,
      owner: head.owner,
      n,
      bytes,
      source,
      at,
      objectid: new Float64Array(n),
      type: new Uint8Array(n),
      offset: new Float64Array(n),
    };
    const view = viewOf(bytes);
    for (let i = 0; i < n; i++) {
      const from = nodeHeader.size + i * entry;
      node.objectid[i] = readU64(view, from);
      node.type[i] = bytes[from + 8];
      node.offset[i] = readU64(view, from + 9);
    }
    return agrees(this.super, bytes) ? node : { ...node, doubt: 'btrfs.node.checksum' };
  }
}

function graded(node: TreeNode, generation: number): TreeNode {
  if (node.generation === generation || node.doubt !== undefined) return node;
  return { ...node, doubt: 'btrfs.node.generation' };
}
