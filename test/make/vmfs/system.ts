import { roundUp } from '../bytes.ts';
import { FB, PB, PB2, SB } from './address.ts';
import { Blocks, Pool } from './allocate.ts';
import { mapBlocks } from './layout.ts';
import { resourceLength } from './resource.ts';
import { G0, isSmall, MIB, type Shape } from './shape.ts';
import type { StoreSpec } from './spec.ts';
import { firstUserDescriptor, type Item } from './tree.ts';

/** Where everything of a file system is kept: block map, pools, and the journal's place. */
export interface Ground {
  blocks: Blocks;
  fdc: Pool;
  sbc: Pool;
  pbc: Pool;
  pb2: Pool;
  journalBlocks: number; // VMFS6: resources of .jbc.sf
  journal: number; // VMFS3/5: file block of the journal
}

/** How many of each resource the user files need. */
export interface Need {
  descriptors: number;
  sub: number;
  tables: number;
  tables2: number;
}

/** LFB and SFB geometry of VMFS6: 16 large blocks a cluster, 8 clusters a group (vmfs.md 6.1). */
export const LFB_PER_GROUP = 128;
export const FBB_GROUP6 = 0x110000;

interface Counts {
  descriptors: number;
  sub: number;
  pointer: number;
  second: number;
  journal: number;
}

/** Volumes up to 4,096 blocks get one group of each; larger ones the numbers that mkfs gives normal volumes (vmfs.md 6.1). */
function counts(shape: Shape, spec: StoreSpec, volume: number, need: Need): Counts {
  const small = isSmall(shape, volume);
  const one = (g: { perCluster: number; perGroup: number }) => g.perCluster * g.perGroup;
  const six = shape.version === 6;
  const descriptors = Math.max(need.descriptors, spec.descriptors ?? 0);
  const sub = Math.max(need.sub, spec.subBlocks ?? 0);
  const fdUnit = one(shape.fdc);
  const sbUnit = one(shape.sbc) / (shape.version === 3 ? 2 : 1);
  const smallSub = shape.version === 5 && spec.upgraded ? 512 : sbUnit;
  return {
    descriptors: roundUp(Math.max(descriptors, small ? fdUnit : 16384), shape.fdc.perCluster),
    sub: roundUp(Math.max(sub, small ? smallSub : 16384), shape.sbc.perCluster),
    pointer: six ? 0 : roundUp(Math.max(need.tables, small ? one(shape.pbc) / 4 : 16384), 16),
    second: shape.version === 3 ? 0 : roundUp(Math.max(need.tables2, small ? 16 : 256), shape.pb2.perCluster),
    journal: small ? 32 : 128,
  };
}

/** Hands out the low blocks in mkfs order and records them as an item's block list. */
class Layer {
  readonly #shape: Shape;
  readonly #blocks: Blocks;
  #next: number;

  constructor(shape: Shape, blocks: Blocks, next: number) {
    this.#shape = shape;
    this.#blocks = blocks;
    this.#next = next;
  }

  take(): number {
    const block = this.#next++;
    this.#blocks.take(block);
    return block;
  }

  /** Gives `count` blocks to the item from its slot `slot` on. */
  give(item: Item, count: number, slot = 0): void {
    if (count <= 0) return;
    const first = this.#next;
    for (let i = 0; i < count; i++) this.take();
    item.layout.runs.push({ slot, count, tbz: false, type: FB, index: first });
  }

  /** Sets length and block list plan of a system file. */
  size(item: Item, length: number): number {
    item.size = length;
    const slots = Math.ceil(length / this.#shape.blockSize);
    item.layout = mapBlocks(this.#shape, item, this.#shape.blockSize, [{ slot: 0, count: slots, tbz: false }], slots);
    return slots;
  }
}

function fbbLength(shape: Shape, blocks: number): number {
  if (shape.version !== 6) {
    const geometry = { perCluster: shape.fbPerCluster, perGroup: shape.fdc.perGroup, size: 0 };
    return resourceLength(shape, geometry, blocks);
  }
  const large = Math.ceil(blocks / 512);
  const whole = Math.floor((large - 1) / LFB_PER_GROUP);
  // Each large block's "data" is the cluster header of its small blocks (vmfs.md 6.2).
  return G0 + whole * FBB_GROUP6 + 8 * shape.header + (large - whole * LFB_PER_GROUP) * shape.header;
}

/**
 * Sizes the system files and gives them their blocks in mkfs order (vmfs.md 8.6). Pointer blocks that they need
 * themselves come out of the same pools; VMFS6 maps a large .sbc.sf through .pb2.sf as the real volume does.
 */
export function layGround(shape: Shape, spec: StoreSpec, items: Item[], volume: number, need: Need): Ground {
  const six = shape.version === 6;
  const bs = shape.blockSize;
  const total = Math.floor(volume / bs);
  const blocks = new Blocks(total, shape.fbPerCluster);
  const firstBlock = shape.fdcStart / bs;
  const layer = new Layer(shape, blocks, 0);
  const [root, fbb, fdc, pbc, sbc, vh, pb2, sdd, jbc] = items as [
    Item,
    Item,
    Item,
    Item,
    Item,
    Item,
    ...(Item | undefined)[],
  ];
  const count = counts(shape, spec, volume, need);
  const fdcLength = resourceLength(shape, shape.fdc, count.descriptors);
  const fdcSlots = layer.size(fdc, six ? fdcLength : roundUp(fdcLength, bs));
  const fbbSlots = layer.size(fbb, fbbLength(shape, total));
  const rootSlots = layer.size(root, root.size);
  const own = fdc.layout.tables.length + fbb.layout.tables.length + root.layout.tables.length;
  const subCount = roundUp(six ? Math.max(count.sub, need.sub + own) : count.sub, shape.sbc.perCluster);
  if (six) sbc.force = 'pb2';
  const sbcLength = resourceLength(shape, shape.sbc, subCount);
  if (six && sbcLength <= shape.fdPointers * bs) delete sbc.force;
  const sbcSlots = layer.size(sbc, sbcLength);
  const more = own + (six ? 0 : sbc.layout.tables.length);
  const pbcCount = six ? 0 : roundUp(Math.max(count.pointer, need.tables + more), 16);
  const pbcSlots = layer.size(pbc, six ? 0x10000 : resourceLength(shape, shape.pbc, pbcCount));
  const pb2Count = Math.max(count.second, six ? need.tables2 + sbc.layout.tables.length : 0);

  layer.size(vh, six ? 7 * MIB : 4 * MIB);
  layer.give(vh, firstBlock);
  layer.give(fdc, six ? 1 : fdcSlots);
  layer.give(root, rootSlots);
  layer.give(fbb, fbbSlots);
  if (six) layer.give(fdc, fdcSlots - 1, 1);
  layer.give(pbc, pbcSlots);
  layer.give(sbc, sbcSlots);
  if (pb2 !== undefined) layer.give(pb2, layer.size(pb2, resourceLength(shape, shape.pb2, pb2Count)));
  if (sdd !== undefined) layer.give(sdd, layer.size(sdd, sdd.size));
  const ground: Ground = {
    blocks,
    fdc: new Pool(
      count.descriptors,
      shape.fdc.perCluster,
      shape.version === 6 ? 9 : shape.version === 5 ? 8 : 6,
      firstUserDescriptor(shape),
    ),
    sbc: new Pool(subCount, shape.sbc.perCluster, 0, firstSubBlock(shape, subCount, need.sub + own)),
    pbc: new Pool(pbcCount, shape.pbc.perCluster),
    pb2: new Pool(pb2Count, shape.pb2.perCluster),
    journalBlocks: count.journal,
    journal: 0,
  };
  if (jbc !== undefined) {
    const geometry = { perCluster: 8, perGroup: 4, size: 2 * MIB };
    layer.give(jbc, layer.size(jbc, resourceLength(shape, geometry, count.journal)));
  } else ground.journal = layer.take();
  return ground;
}

/** Real VMFS3 and VMFS5 volumes start user sub-blocks in a later cluster (30 and 4); VMFS6 starts at the first. */
function firstSubBlock(shape: Shape, count: number, need: number): number {
  if (shape.version === 6) return 0;
  const start = (shape.version === 3 ? 30 : 4) * shape.sbc.perCluster;
  return start + need <= count ? start : 0;
}

/** Takes the pointer blocks of an item from the pools that their address types name. */
export function takeTables(ground: Ground, item: Item, owner: number): void {
  for (const table of item.layout.tables) {
    const type = table.target.type;
    const pool = type === SB ? ground.sbc : type === PB ? ground.pbc : ground.pb2;
    if (type !== SB && type !== PB && type !== PB2) throw new Error(`no pool for pointer blocks of type ${type}`);
    table.target.index = pool.take(owner);
  }
}
