/** Parts of one thing that lie in several places: found by the identity that each of them carries. */
import type { Candidate } from '../core/format.ts';
import type { Node } from '../core/node.ts';
import { diskEndings, formats } from '../formats/index.ts';
import type { Stack } from './stack.ts';

/** Bytes to look into, and what they say they are a part of. */
interface Place {
  readonly node: Node;
  readonly isBeside?: boolean;
  readonly identities: readonly string[];
}

async function candidates(places: readonly Place[]): Promise<Candidate[]> {
  const out: Candidate[] = [];
  for (const { node, isBeside = false } of places) {
    const source = await node.bytes?.();
    if (source !== undefined) out.push({ source, locator: node.locator, isBeside });
  }
  return out;
}

export class Members {
  /** Locators of files that were not given, but hold parts of what was. */
  readonly borrowed: string[] = [];
  readonly #stack: Stack;
  readonly #only: boolean;
  readonly #inFolders = new Map<string, Promise<Place[]>>();
  #given: Promise<Place[]> | undefined;
  #beside: Promise<Place[]> | undefined;

  constructor(stack: Stack, only: boolean) {
    this.#stack = stack;
    this.#only = only;
  }

  /**
   * All places that carry an identity: those given first, then files beside them; for what lies in a file of a file
   * system, the disks in that file's folder only.
   */
  async of(identity: string, folder?: Node): Promise<Candidate[]> {
    if (folder !== undefined) {
      const places = this.#inFolders.get(folder.locator) ?? this.#disksIn(folder);
      this.#inFolders.set(folder.locator, places);
      return candidates((await places).filter((place) => place.identities.includes(identity)));
    }
    this.#given ??= this.#look(this.#stack.roots);
    const found = (await this.#given).filter((place) => place.identities.includes(identity));
    if (!this.#only) {
      this.#beside ??= this.#look(this.#stack.evidence.neighbours());
      for (const place of await this.#beside) {
        if (!place.identities.includes(identity)) continue;
        found.push({ ...place, isBeside: true });
        this.borrowed.push(place.node.locator);
      }
    }
    return candidates(found);
  }

  /** Places in the disks of a folder. Disks that others lie on come last: they are older. */
  async #disksIn(folder: Node): Promise<Place[]> {
    const files: Node[] = [];
    const below = new Set<string>();
    for await (const file of this.#stack.children(folder)) {
      if (file.kind !== 'file' || !diskEndings.some((end) => file.rawName.toLowerCase().endsWith(end))) continue;
      const layer = await this.#stack.layer(file);
      if (layer?.kind !== 'disk') continue;
      files.push(file);
      for (const name of layer.backing?.names ?? []) below.add(name);
    }
    files.sort((a, b) => Number(below.has(a.rawName)) - Number(below.has(b.rawName)));
    const out: Place[] = [];
    for (const file of files) {
      const disk = await this.#stack.inside(file);
      if (disk !== undefined) out.push(...(await this.#placesOf(disk)));
    }
    return out;
  }

  async #look(nodes: readonly Node[]): Promise<Place[]> {
    const out: Place[] = [];
    for (const node of nodes) {
      if (node.kind === 'directory') {
        const inner: Node[] = [];
        for await (const child of this.#stack.children(node)) inner.push(child);
        out.push(...(await this.#look(inner)));
      } else out.push(...(await this.#placesOf(node)));
    }
    return out;
  }

  /** The evidence itself, or the disk that it is, and each of its partitions. */
  async #placesOf(node: Node): Promise<Place[]> {
    const whole = await this.#identify(node);
    if (whole.identities.length > 0) return [whole];
    const table = await this.#tableIn(node, false);
    // Searching for what is left of a container reads megabytes of each member, so where a table stands that is left out.
    const disk = node.kind === 'evidence' ? await this.#diskIn(node, table !== undefined) : undefined;
    if (disk !== undefined) return this.#placesOf(disk);
    const out: Place[] = [];
    const found = table ?? (await this.#tableIn(node, true));
    if (found !== undefined)
      for await (const child of this.#stack.children(found)) out.push(await this.#identify(child));
    return out;
  }

  /** A table of partitions: opening a volume here would ask for its members again. */
  async #tableIn(node: Node, isLastResort: boolean): Promise<Node | undefined> {
    for (const format of formats) {
      if (format.layer !== 'volume' || format.identity !== undefined) continue;
      if ((format.lastResort ?? false) !== isLastResort) continue;
      const table = await this.#stack.openAs(node, format).catch(() => undefined);
      if (table !== undefined) return table;
    }
    return undefined;
  }

  /** Not by way of `inside`: that may be what is waiting for an answer here. */
  async #diskIn(node: Node, isKnown: boolean): Promise<Node | undefined> {
    for (const format of formats) {
      if (format.layer !== 'disk' || format.lastResort === true) continue;
      const disk = await this.#stack.openAs(node, format, isKnown).catch(() => undefined);
      if (disk?.kind === 'disk') return disk;
    }
    return undefined;
  }

  async #identify(node: Node): Promise<Place> {
    const identities: string[] = [];
    try {
      const source = await node.bytes?.();
      for (const format of formats) {
        const identity = source === undefined ? undefined : await format.identity?.(source);
        if (identity !== undefined) identities.push(identity);
      }
    } catch {
      // A neighbour that cannot be opened is no member.
    }
    return { node, identities };
  }
}
