/** File blocks of a volume: which are taken, and the order in which ESXi takes them. */
export class Blocks {
  readonly total: number;
  readonly perCluster: number;
  readonly #clusters: Map<number, Uint8Array> = new Map();
  readonly #taken: Map<number, number> = new Map();

  constructor(total: number, perCluster: number) {
    this.total = total;
    this.perCluster = perCluster;
  }

  /** Clusters with at least one block taken, ascending. */
  clusters(): number[] {
    return [...this.#clusters.keys()].sort((a, b) => a - b);
  }

  clusterSize(cluster: number): number {
    return Math.min(this.perCluster, this.total - cluster * this.perCluster);
  }

  /** One byte per block of a cluster, 1 = taken; undefined while all are free. */
  map(cluster: number): Uint8Array | undefined {
    return this.#clusters.get(cluster);
  }

  freeIn(cluster: number): number {
    return this.clusterSize(cluster) - (this.#taken.get(cluster) ?? 0);
  }

  isFree(block: number): boolean {
    const cluster = Math.floor(block / this.perCluster);
    return this.#clusters.get(cluster)?.[block - cluster * this.perCluster] !== 1;
  }

  take(block: number): void {
    const cluster = Math.floor(block / this.perCluster);
    let map = this.#clusters.get(cluster);
    if (map === undefined) {
      map = new Uint8Array(this.clusterSize(cluster));
      this.#clusters.set(cluster, map);
    }
    const at = block - cluster * this.perCluster;
    if (at >= map.length || map[at] === 1) throw new Error(`block ${block} cannot be taken`);
    map[at] = 1;
    this.#taken.set(cluster, (this.#taken.get(cluster) ?? 0) + 1);
  }

  /** A wholly free cluster of full size at or after `from`, going round once. */
  wholeCluster(from: number): number {
    const full = Math.floor(this.total / this.perCluster);
    for (let i = 0; i < full; i++) {
      const cluster = (from + i) % full;
      if (!this.#clusters.has(cluster)) return cluster;
    }
    throw new Error('the volume has no wholly free cluster left');
  }
}

/**
 * Takes blocks one after another: upwards inside a cluster, at its end wrapping to the free low numbers of the same
 * cluster, then on to the next cluster (vmfs.md 8.7, seen on a real thick disk).
 */
export class Cursor {
  readonly #blocks: Blocks;
  #cluster: number;
  #at: number;
  #wrapped = false;

  constructor(blocks: Blocks, start: number) {
    this.#blocks = blocks;
    this.#cluster = Math.floor(start / blocks.perCluster);
    this.#at = start - this.#cluster * blocks.perCluster;
  }

  next(): number {
    const blocks = this.#blocks;
    const clusters = Math.ceil(blocks.total / blocks.perCluster);
    for (let hops = 0; hops <= clusters; hops++) {
      const size = blocks.clusterSize(this.#cluster);
      const map = blocks.map(this.#cluster);
      if (blocks.freeIn(this.#cluster) > 0) {
        while (this.#at < size && map?.[this.#at] === 1) this.#at++;
        if (this.#at < size) {
          const block = this.#cluster * blocks.perCluster + this.#at++;
          blocks.take(block);
          return block;
        }
        if (!this.#wrapped) {
          this.#wrapped = true;
          this.#at = 0;
          hops--;
          continue;
        }
      }
      this.#cluster = (this.#cluster + 1) % clusters;
      this.#at = 0;
      this.#wrapped = false;
    }
    throw new Error('the volume is full');
  }
}

/** Numbered resources of one file (FDs, sub-blocks, pointer blocks): a fixed head, then a window that grows. */
export class Pool {
  readonly count: number;
  readonly perCluster: number;
  readonly #fixed: number;
  readonly #start: number;
  #used = 0;
  /** VMFS6: the FD that a resource belongs to, for the cluster's affinity array (vmfs.md 6.2). */
  readonly owners: Map<number, number> = new Map();

  constructor(count: number, perCluster: number, fixed = 0, start: number = fixed) {
    this.count = count;
    this.perCluster = perCluster;
    this.#fixed = fixed;
    this.#start = start;
  }

  take(owner = 0): number {
    const index = this.#start + this.#used++;
    if (index >= this.count) throw new Error(`only ${this.count} resources`);
    if (owner !== 0) this.owners.set(index, owner);
    return index;
  }

  taken(index: number): boolean {
    return index < this.#fixed || (index >= this.#start && index < this.#start + this.#used);
  }

  clusters(): number {
    return this.perCluster === 0 ? 0 : Math.ceil(this.count / this.perCluster);
  }

  /** Clusters with something taken, ascending. */
  usedClusters(): number[] {
    const used: number[] = [];
    for (let c = 0; c < this.clusters(); c++) {
      const first = c * this.perCluster;
      const end = first + this.perCluster;
      if (first < this.#fixed || (this.#used > 0 && end > this.#start && first < this.#start + this.#used))
        used.push(c);
    }
    return used;
  }
}
