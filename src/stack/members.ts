/** Parts of one thing that lie in several places: found by the identity that each of them carries. */
import type { Candidate } from '../core/format.ts';
import type { Node } from '../core/node.ts';
import { formats } from '../formats/index.ts';
import type { Stack } from './stack.ts';

/** Bytes to look into, and what they say they are a part of. */
interface Place {
  readonly node: Node;
  readonly identities: readonly string[];
}

export class Members {
  /** Locators of files that were not given, but hold parts of what was. */
  readonly borrowed: string[] = [];
  readonly #stack: Stack;
  readonly #only: boolean;
  #given: Promise<Place[]> | undefined;
  #beside: Promise<Place[]> | undefined;

  constructor(stack: Stack, only: boolean) {
    this.#stack = stack;
    this.#only = only;
  }

  /** All places that carry an identity: those given first, then files beside them. */
  async of(identity: string): Promise<Candidate[]> {
    this.#given ??= this.#look(this.#stack.roots);
    const found = (await this.#given).filter((place) => place.identities.includes(identity));
    if (!this.#only) {
      this.#beside ??= this.#look(this.#stack.evidence.neighbours());
      for (const place of await this.#beside) {
        if (!place.identities.includes(identity)) continue;
        found.push(place);
        this.borrowed.push(place.node.locator);
      }
    }
    const out: Candidate[] = [];
    for (const { node } of found) {
      const source = await node.bytes?.();
      if (source !== undefined) out.push({ source, locator: node.locator });
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

  /** The evidence itself and each of its partitions. */
  async #placesOf(node: Node): Promise<Place[]> {
    const whole = await this.#identify(node);
    if (whole.identities.length > 0) return [whole];
    const out: Place[] = [];
    for (const format of formats) {
      // Only tables of partitions: opening a volume here would ask for its members again.
      if (format.layer !== 'volume' || format.identity !== undefined) continue;
      const table = await this.#stack.openAs(node, format).catch(() => undefined);
      if (table === undefined) continue;
      for await (const child of this.#stack.children(table)) out.push(await this.#identify(child));
      break;
    }
    return out;
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
