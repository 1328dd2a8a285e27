/** What a child process holds open: the evidence, its case, and the listings that were asked for. */
import { Case } from '../case/case.ts';
import { CaseError } from '../case/error.ts';
import type { Node } from '../core/node.ts';
import { MISSING, RunList } from '../core/run.ts';
import { formats, plainEndings } from '../formats/index.ts';
import { SCAN } from '../jobs/scan.ts';
import { beneath } from '../stack/beneath.ts';
import { CARVED, keptOf } from '../stack/carve.ts';
import { locate } from '../stack/locate.ts';
import { MENDED } from '../stack/mend.ts';
import { childrenWith } from '../stack/residue.ts';
import { Stack } from '../stack/stack.ts';
import { LAYERS } from '../stack/walk.ts';
import type { Opening } from './messages.ts';

/** Endings of files that are worth a look inside. */
export const ENDINGS: readonly string[] = [...plainEndings, ...formats.flatMap((format) => format.names ?? [])];
/** Listings kept, the last entries of each, and things that are found again by their locator. */
const MAX_LISTINGS = 64;
const MAX_KEPT = 10_000;
const MAX_MET = 20_000;

/** A listing that is read as far as somebody asked; of what lies before `base` nothing is kept. */
interface Listing {
  nodes: Node[];
  base: number;
  readonly rest: AsyncIterator<Node>;
  ended: boolean;
}

/** Something that takes long to find out, and what was known of the evidence then. */
interface Known {
  readonly lost: number;
  readonly answer: Promise<unknown>;
}

export class Session {
  readonly stack: Stack;
  /** Name and version of the program. */
  readonly program: string;
  /** Whether machines can be started on this host. */
  readonly hasQemu: boolean;
  readonly case: Case;
  /** What changed about the evidence since the case took it up. */
  readonly alarms: readonly string[];
  readonly #listings = new Map<string, Listing>();
  readonly #met = new Map<string, Node>();
  readonly #known = new Map<string, Known>();

  private constructor(stack: Stack, kept: Case, alarms: readonly string[], { program, hasQemu }: Opening) {
    this.program = program;
    this.hasQemu = hasQemu;
    this.stack = stack;
    this.case = kept;
    this.alarms = alarms;
  }

  /** Opens the sources read-only, and their case, which is there: that it may be there was looked at before. */
  static async begin(opening: Opening, signal?: AbortSignal): Promise<Session> {
    const { sources, case: dir, program, isLogged } = opening;
    const stack = new Stack(sources, signal === undefined ? {} : { signal });
    const kept = Case.at(dir, program, SCAN);
    if (kept === undefined) throw new CaseError(`${dir} is no case any more. Open the evidence again.`);
    const alarms: string[] = [];
    for (const { source } of await stack.files())
      alarms.push(...[kept.recheck(source)].filter((one) => one !== undefined));
    if (isLogged === true)
      kept.log(['serve', ...sources], alarms.join(' ') || `${sources.join(', ')} opened, read-only`);
    stack.use(kept);
    return new Session(stack, kept, alarms, opening);
  }

  /** The node of a locator: one that was listed, or one that is followed to. */
  async node(locator: string): Promise<Node> {
    return this.#met.get(locator) ?? (await locate(this.stack, locator)).node;
  }

  /** A stretch of what lies below a node, without one of the roots; whether there is more; all of it where that is known. */
  async page(parent: string | undefined, after: number, limit: number): Promise<Page> {
    const listing = await this.#listing(parent, after);
    while (!listing.ended && listing.base + listing.nodes.length < after + limit + 1) {
      const next = await listing.rest.next();
      if (next.done === true) listing.ended = true;
      else this.#keep(listing, next.value, after);
    }
    // Somebody who asked for a later page at the same time may have let go of this one.
    if (after < listing.base) return this.page(parent, after, limit);
    const end = listing.base + listing.nodes.length;
    const nodes = listing.nodes.slice(after - listing.base, after - listing.base + limit);
    return {
      nodes,
      ...(end > after + limit && { next: after + limit }),
      ...(listing.ended && { total: end }),
    };
  }

  /** What `find` answers, found out once, and again where more of the evidence turned out to be unreadable since. */
  async once<T>(name: string, find: () => Promise<T>): Promise<T> {
    const known = this.#known.get(name);
    const lost = await this.#lost();
    if (known !== undefined && known.lost === lost) return known.answer as Promise<T>;
    const answer = find();
    this.#known.set(name, { lost, answer });
    answer.then(
      // Looking itself may have met what cannot be read.
      async () => this.#known.set(name, { lost: await this.#lost(), answer }),
      () => this.#known.delete(name),
    );
    return answer;
  }

  /** Bytes of the evidence that are known to be missing. */
  async #lost(): Promise<number> {
    const list = new RunList();
    let lost = 0;
    for (const { source } of await this.stack.files()) {
      for (let at = 0; at < source.size; ) {
        list.clear();
        at = source.runs(at, source.size, list);
        for (let i = 0; i < list.n; i++) if (list.state(i) === MISSING) lost += list.length[i];
      }
    }
    return lost;
  }

  #keep(listing: Listing, node: Node, after: number): void {
    listing.nodes.push(node);
    if (this.#met.size >= MAX_MET) this.#met.delete(this.#met.keys().next().value!);
    this.#met.set(node.locator, node);
    const spare = Math.min(after - listing.base, listing.nodes.length - MAX_KEPT);
    // In strides, for each costs as much as there are.
    if (spare < MAX_KEPT) return;
    listing.nodes = listing.nodes.slice(spare);
    listing.base += spare;
  }

  close(): void {
    this.stack.close();
    this.case.close();
  }

  async #listing(parent: string | undefined, after: number): Promise<Listing> {
    const key = parent ?? '';
    const known = this.#listings.get(key);
    if (known !== undefined && known.base <= after) return known;
    const below = parent === undefined ? each(this.stack.roots) : this.#below(await this.node(parent));
    const listing: Listing = { nodes: [], base: 0, rest: below[Symbol.asyncIterator](), ended: false };
    const oldest = this.#listings.keys().next().value;
    if (this.#listings.size >= MAX_LISTINGS && oldest !== undefined) this.#listings.delete(oldest);
    this.#listings.delete(key);
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
    const carved = (await keptOf(this.stack, node)) && (await this.stack.child(node, CARVED));
    if (carved !== undefined) yield carved;
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
