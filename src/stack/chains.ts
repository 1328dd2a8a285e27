/** Chains of disks: each layer was opened alone by its format; here the files below are found and all is put together. */
import * as path from 'node:path';
import { type ChainLayer, chain } from '../core/chain.ts';
import type { Damage } from '../core/damage.ts';
import { MAX_CHAIN } from '../core/limits.ts';
import { printable } from '../core/locator.ts';
import type { Backing, Node } from '../core/node.ts';
import { INFERRED, STATED, type Why } from '../core/run.ts';
import type { Source } from '../core/source.ts';
import { formats } from '../formats/index.ts';
import { siblingNode } from './siblings.ts';
import { passesThrough, type Stack } from './stack.ts';

/** Files of one directory that are opened in search of a parent that is not where its child says. */
const MAX_SEARCHED = 256;
const endings = formats.filter((format) => format.layer === 'disk').flatMap((format) => format.names ?? []);

/** What a format opened, before anything was put below it. */
interface Alone {
  readonly source: Source;
  readonly backing: Backing | undefined;
  readonly identities: readonly string[];
}

interface Parent {
  readonly file: Node;
  readonly alone: Alone;
  /** It is known by what it says of itself, or the child does not know what that should be. */
  readonly proved: boolean;
}

export class Chains {
  readonly #stack: Stack;

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  /** The disk that `opened`, found in `file`, is with all that lies below it. Others are answered as they are. */
  async joined(file: Node, opened: Node, only: boolean): Promise<Node> {
    const source = opened.kind === 'disk' ? await opened.bytes?.() : undefined;
    if (source === undefined) return opened;
    const { backing, identities = [] } = opened;
    const top: Alone = { source, backing, identities };
    if (backing === undefined) return opened;
    const damage: Damage[] = [];
    const whole = await this.#follow(file, top, only, damage);
    const joined = { ...opened, damage: [...opened.damage, ...damage], bytes: async () => whole };
    if (opened.snapshots === undefined) return joined;
    // States that the file keeps lie on the same parents.
    const snapshots = opened.snapshots.map((state) => {
      const bytes = async (): Promise<Source> => (await this.joined(file, state, only)).bytes!();
      return { ...state, bytes };
    });
    return { ...joined, snapshots, child: async (rawName) => snapshots.find((state) => state.rawName === rawName) };
  }

  async #follow(file: Node, top: Alone, only: boolean, damage: Damage[]): Promise<Source> {
    const layers: ChainLayer[] = [{ source: top.source, certainty: STATED }];
    const seen = new Set([file.locator]);
    let child = file;
    let lower: Alone = top;
    while (lower.backing !== undefined) {
      const { backing } = lower;
      const at = `${child.locator}@${backing.at}`;
      const parent = await this.#parent(child, backing, only);
      const problem = troubleOf(parent, seen, layers.length);
      if (parent === undefined || problem !== undefined) {
        const named =
          backing.names.map((name) => `"${printable(name)}"`).join(' or ') || (backing.identity ?? 'its parent');
        const effect = 'what this layer and those above it do not hold is missing; give the parent as a further source';
        const code = parent === undefined ? 'chain.parent' : 'chain.loop';
        damage.push({ code, at, expected: `a parent ${named}`, actual: problem ?? 'none', effect });
        return chain(layers, { what: `a parent ${named} that is not had`, code });
      }
      let why: Why | undefined;
      if (!parent.proved) {
        const actual = parent.alone.identities.join(', ') || 'none';
        const effect = 'it is read through all the same; what comes from it and below is inferred';
        damage.push({
          code: 'chain.identity',
          at,
          expected: `a parent that is ${backing.identity}`,
          actual: `${parent.file.locator}: ${actual}`,
          effect,
        });
        why = { what: `${parent.file.locator}, a parent by its name alone`, code: 'chain.identity' };
      }
      if (parent.proved && backing.unchanged !== undefined && !parent.alone.identities.includes(backing.unchanged)) {
        damage.push({
          code: 'chain.changed',
          at,
          expected: `${parent.file.locator} as it was: ${backing.unchanged}`,
          actual: parent.alone.identities.join(', '),
          effect: 'it was written to after this layer was made: what comes from it and below is inferred',
        });
        why = { what: `${parent.file.locator}, a parent that was written to later`, code: 'chain.changed' };
      }
      layers.push({ source: parent.alone.source, certainty: why ? INFERRED : STATED, ...(why && { why }) });
      seen.add(parent.file.locator);
      child = parent.file;
      lower = parent.alone;
    }
    return chain(layers);
  }

  /** The file that a layer names; else one that says it is what the layer needs; else the named one all the same. */
  async #parent(child: Node, backing: Backing, only: boolean): Promise<Parent | undefined> {
    let named: Parent | undefined;
    for (const name of backing.names) {
      const file = await siblingNode(this.#stack, child, name, only);
      if (file === undefined || file.locator === child.locator || file.bytes === undefined) continue;
      const found = await this.#opened(file, backing);
      if (found?.proved === true) return found;
      named ??= found;
    }
    return (await this.#search(child, backing, only)) ?? named;
  }

  async #search(child: Node, backing: Backing, only: boolean): Promise<Parent | undefined> {
    if (backing.identity === undefined || backing.raw === true) return undefined;
    let searched = 0;
    for await (const file of this.#around(child, only)) {
      const name = file.rawName.toLowerCase();
      const isDisk =
        (file.kind === 'file' || file.kind === 'evidence') && endings.some((ending) => name.endsWith(ending));
      if (!isDisk || file.locator === child.locator) continue;
      if (++searched > MAX_SEARCHED) return undefined;
      const found = await this.#opened(file, backing);
      if (found?.proved === true) return found;
    }
    return undefined;
  }

  /** What lies beside a file, then in the folder above: snapshots are often kept in one of their own. */
  async *#around(child: Node, only: boolean): AsyncGenerator<Node> {
    const folder = this.#stack.parentOf(child);
    if (folder === undefined) {
      yield* this.#stack.roots;
      const beside = path.dirname(path.resolve(child.locator));
      const near = only || child.kind !== 'evidence' ? [] : this.#stack.evidence.neighbours();
      return yield* near.filter((node) => path.dirname(node.locator) === beside);
    }
    yield* this.#stack.children(folder);
    const above = this.#stack.parentOf(folder);
    if (above !== undefined && isFolder(folder) && isFolder(above)) yield* this.#stack.children(above);
  }

  async #opened(file: Node, backing: Backing): Promise<Parent | undefined> {
    const opened = backing.raw === true ? undefined : await this.#stack.layer(file);
    const source = await (opened?.kind === 'disk' ? opened : file).bytes?.();
    if (source === undefined) return undefined;
    const { backing: below, identities = [] } = opened?.kind === 'disk' ? opened : {};
    const alone: Alone = { source, backing: below, identities };
    const proved = backing.identity === undefined || alone.identities.includes(backing.identity);
    return { file, alone, proved };
  }
}

function isFolder(node: Node): boolean {
  return node.children !== undefined && !passesThrough(node);
}

function troubleOf(parent: Parent | undefined, seen: ReadonlySet<string>, layers: number): string | undefined {
  if (parent === undefined) return undefined;
  if (seen.has(parent.file.locator)) return `${parent.file.locator}, which is above it already`;
  return layers >= MAX_CHAIN ? `a chain of more than ${MAX_CHAIN} layers` : undefined;
}
