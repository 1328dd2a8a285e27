/** Which disk lies under which: from what the descriptors, logs, snapshot lists and numbers in names still say. */
import { INFERRED } from '../../../core/run.ts';
import type { MachineTexts } from '../../machine/sources.ts';
import { assumed, inferred, type Said } from './compose.ts';
import { contentId, isContentId } from './descriptor.ts';
import type { Link } from './survey.ts';

export const NO_PARENT = 'ffffffff';
/** What hosts give a disk that was never written to: every one accepts it. */
export const PLACEHOLDER = 'fffffffe';

/** `web01` and 2 of `web01-000002.vmdk`. */
export function numbered(rawName: string): { stem: string; number: number } {
  const match = /^(.*?)(?:-(\d{6}))?\.vmdk$/i.exec(rawName);
  return { stem: match?.[1] ?? rawName, number: Number(match?.[2] ?? 0) };
}

/** A readable content id of a descriptor's own text. */
export function ownId(link: Link, key: 'cid' | 'parentcid'): string | undefined {
  const value = link.text?.values.get(key);
  return value !== undefined && isContentId(value) ? contentId(value) : undefined;
}

export class Chains {
  readonly #links: ReadonlyMap<string, Link>;
  readonly #texts: MachineTexts;
  readonly #folder: string;
  readonly #parents = new Map<string, Said<string> | undefined>();

  constructor(folder: string, links: ReadonlyMap<string, Link>, texts: MachineTexts, isDelta: (link: Link) => boolean) {
    this.#folder = folder;
    this.#links = links;
    this.#texts = texts;
    for (const link of links.values()) this.#parents.set(link.rawName, this.#find(link, isDelta(link)));
  }

  /** The descriptor below, by the name that is to stand in this one; undefined for a base. */
  parentOf(link: Link): Said<string> | undefined {
    return this.#parents.get(link.rawName);
  }

  childrenOf(rawName: string): Link[] {
    return [...this.#links.values()].filter((link) => this.parentOf(link)?.value === rawName);
  }

  /** The content id that a descriptor has or gets. */
  idOf(link: Link): Said<string> {
    const own = ownId(link, 'cid');
    if (own !== undefined) return inferred(own, link.rawName);
    for (const child of this.childrenOf(link.rawName)) {
      const id = ownId(child, 'parentcid');
      if (id !== undefined && id !== NO_PARENT)
        return inferred(id, `parentCID of ${child.rawName}`.replace('parentCID', 'parent id'));
    }
    return assumed(PLACEHOLDER);
  }

  /** The content id that stands for the parent in a descriptor. */
  parentIdOf(link: Link): Said<string> {
    const parent = this.parentOf(link);
    if (parent === undefined) return { value: NO_PARENT, from: 'the kind of its extent', certainty: INFERRED };
    const there = this.#links.get(parent.value);
    if (there !== undefined) return this.idOf(there);
    const own = ownId(link, 'parentcid');
    return own === undefined ? assumed(PLACEHOLDER) : inferred(own, link.rawName);
  }

  #find(link: Link, isDelta: boolean): Said<string> | undefined {
    const hint = link.text?.values.get('parentfilenamehint');
    const named = ownId(link, 'parentcid');
    if (hint !== undefined && hint !== '' && named !== NO_PARENT) return inferred(this.#local(hint), link.rawName);
    if (!isDelta) return undefined;
    const logged = this.#texts.parents.get(link.rawName);
    if (logged !== undefined) return inferred(logged.name, logged.from);
    return this.#bySnapshots(link.rawName) ?? this.#byNumber(link.rawName);
  }

  /** A path that leads back into this folder is as good as the name alone. */
  #local(hint: string): string {
    const [folder, name] = hint.split('/').slice(-2);
    return name !== undefined && folder === this.#folder && this.#links.has(name) ? name : hint;
  }

  /** A snapshot froze what was then in use, which lies on what the snapshot before it froze. */
  #bySnapshots(rawName: string): Said<string> | undefined {
    const { snapshots, snapshotsIn, current } = this.#texts;
    const byUid = new Map(snapshots.map((snapshot) => [snapshot.uid, snapshot]));
    const { stem } = numbered(rawName);
    for (const { disks, parent } of snapshots) {
      const slot = [...disks].find(([, file]) => file === rawName)?.[0];
      if (slot === undefined) continue;
      const below = parent === undefined ? undefined : byUid.get(parent)?.disks.get(slot);
      if (below !== undefined && below !== rawName) return inferred(below, snapshotsIn!);
    }
    // What no snapshot froze is what is written to now; it lies on what the last one froze, if it is the only one.
    const frozen = [...(byUid.get(current ?? '')?.disks.values() ?? [])].find((file) => numbered(file).stem === stem);
    const unfrozen = [...this.#links.keys()].filter(
      (name) => numbered(name).stem === stem && !snapshots.some(({ disks }) => [...disks.values()].includes(name)),
    );
    const isOnly = unfrozen.length === 1 && unfrozen[0] === rawName;
    return frozen !== undefined && frozen !== rawName && isOnly ? inferred(frozen, snapshotsIn!) : undefined;
  }

  /** Numbers count up as snapshots are taken; they are used again later, so this is no more than a guess. */
  #byNumber(rawName: string): Said<string> | undefined {
    const { stem, number } = numbered(rawName);
    let best: string | undefined;
    for (const name of this.#links.keys()) {
      const other = numbered(name);
      if (other.stem !== stem || other.number >= number) continue;
      if (best === undefined || other.number > numbered(best).number) best = name;
    }
    return assumed(best ?? `${stem}.vmdk`);
  }
}
