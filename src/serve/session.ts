/** What a child process holds open: the evidence, its case, and the listings that were asked for. */
import type { Case } from '../case/case.ts';
import type { Node } from '../core/node.ts';
import { beginCaseAt } from '../export/index.ts';
import { formats } from '../formats/index.ts';
import { SCAN } from '../jobs/scan.ts';
import { beneath } from '../stack/beneath.ts';
import { locate } from '../stack/locate.ts';
import { MENDED } from '../stack/mend.ts';
import { childrenWith } from '../stack/residue.ts';
import { Stack } from '../stack/stack.ts';
import { LAYERS } from '../stack/walk.ts';
import type { Opening } from './messages.ts';

/** Endings of files that are worth a look inside. */
export const ENDINGS: readonly string[] = formats.flatMap((format) => format.names ?? []);
/** Listings kept, and entries of all of them together. */
const MAX_LISTINGS = 256;
const MAX_KEPT = 400_000;

/** A listing that is read as far as somebody asked. */
interface Listing {
  readonly nodes: Node[];
  readonly rest: AsyncIterator<Node>;
  ended: boolean;
}

export class Session {
  readonly stack: Stack;
  /** Name and version of the program. */
  readonly program: string;
  readonly case: Case;
  /** What changed about the evidence since the case took it up. */
  readonly alarms: readonly string[];
  readonly #listings = new Map<string, Listing>();
  readonly #met = new Map<string, Node>();

  private constructor(stack: Stack, kept: Case, alarms: readonly string[], program: string) {
    this.program = program;
    this.stack = stack;
    this.case = kept;
    this.alarms = alarms;
  }

  /** Opens the sources read-only and their case, which is begun where there is none. */
  static async begin({ sources, case: dir, program, isLogged }: Opening, signal?: AbortSignal): Promise<Session> {
    const stack = new Stack(sources, signal === undefined ? {} : { signal });
    const kept = beginCaseAt(dir, stack, program, SCAN);
    const alarms: string[] = [];
    for (const { source } of await stack.files())
      alarms.push(...[kept.recheck(source)].filter((one) => one !== undefined));
    if (isLogged === true)
      kept.log(['serve', ...sources], alarms.join(' ') || `${sources.join(', ')} opened, read-only`);
    stack.use(kept);
    return new Session(stack, kept, alarms, program);
  }

  /** The node of a locator: one that was listed, or one that is followed to. */
  async node(locator: string): Promise<Node> {
    return this.#met.get(locator) ?? (await locate(this.stack, locator)).node;
  }

  /** A stretch of what lies below a node, without one of the roots; whether there is more; all of it where that is known. */
  async page(parent: string | undefined, after: number, limit: number): Promise<Page> {
    const listing = await this.#listing(parent);
    while (!listing.ended && listing.nodes.length < after + limit + 1) {
      const next = await listing.rest.next();
      if (next.done === true) listing.ended = true;
      else {
        listing.nodes.push(next.value);
        this.#met.set(next.value.locator, next.value);
      }
    }
    const nodes = listing.nodes.slice(after, after + limit);
    const isMore = listing.nodes.length > after + limit;
    return {
      nodes,
      ...(isMore && { next: after + limit }),
      ...(listing.ended && { total: listing.nodes.length }),
    };
  }

  close(): void {
    this.stack.close();
    this.case.close();
  }

  async #listing(parent: string | undefined): Promise<Listing> {
    const key = parent ?? '';
    const known = this.#listings.get(key);
    if (known !== undefined) return known;
    const below = parent === undefined ? each(this.stack.roots) : this.#below(await this.node(parent));
    const listing: Listing = { nodes: [], rest: below[Symbol.asyncIterator](), ended: false };
    if (this.#listings.size >= MAX_LISTINGS || this.#met.size >= MAX_KEPT) {
      this.#listings.clear();
      this.#met.clear();
    }
    this.#listings.set(key, listing);
    return listing;
  }

  /** What lies below a node: its children and what is gone, or what is in its bytes. */
  async *#below(node: Node): AsyncGenerator<Node> {
    if (node.children !== undefined) {
      const isSearched = (await this.stack.files()).some(({ source }) => this.case.whole(source));
      yield* childrenWith(this.stack, node, isSearched ? 'carved' : 'deleted');
      yield* each(node.snapshots ?? []);
      const mended = node.kind === 'directory' ? await this.stack.child(node, MENDED) : undefined;
      if (mended !== undefined) yield mended;
      return;
    }
    const inside = await this.stack.inside(node);
    if (inside !== undefined) yield inside;
    yield* each(node.snapshots ?? []);
    if (node.kind === 'evidence') yield* each(await beneath(this.stack, node));
  }
}

export interface Page {
  readonly nodes: readonly Node[];
  readonly next?: number;
  readonly total?: number;
}

/** Whether something may lie below a node, without opening it. */
export function isExpandable(node: Node, endings: readonly string[]): boolean {
  if (node.children !== undefined || LAYERS.includes(node.kind)) return true;
  const name = node.rawName.toLowerCase();
  return node.kind === 'file' && node.bytes !== undefined && endings.some((ending) => name.endsWith(ending));
}

async function* each(nodes: readonly Node[]): AsyncGenerator<Node> {
  yield* nodes;
}
