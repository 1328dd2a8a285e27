/** The two trees of what is left: below each, the directories as far as they are known. */
import { MAX_PATH_DEPTH } from '../../../core/limits.ts';
import { addressText } from './address.ts';
import type { Fitting, Lost } from './residue-lost.ts';
import type { Match } from './residue-match.ts';
import type { Named } from './residue-names.ts';
import type { Residue, Survey } from './residue-survey.ts';

/** A place in a tree; without a residue it is a directory that lives, or is known by its address only. */
export interface Branch {
  readonly name: string;
  residue?: Residue;
  named?: Named;
  /** Pointer blocks or text without a descriptor. */
  lost?: Lost;
  /** Text that is what a file held which lost its pointers. */
  text?: Fitting;
  /** Pointer blocks that fit a descriptor which lost its own. */
  match?: Match;
  /** Names that are told apart, in order. */
  readonly children: Map<string, Branch>;
}

interface Step {
  readonly key: string;
  readonly name: string;
}

/** The tree of all residues of one state, and of what is left over without a descriptor. */
export function treeOf(
  survey: Survey,
  names: ReadonlyMap<number, Named>,
  state: Residue['state'],
  lost: readonly Lost[],
  texts: ReadonlyMap<number, Fitting>,
): Branch {
  const root: Branch = { name: '', children: new Map() };
  for (const residue of survey.residues.values()) {
    if (residue.state !== state) continue;
    const { branch, above } = branchAt(root, stepsTo(survey, names, residue));
    branch.residue = residue;
    const named = names.get(residue.key);
    if (named !== undefined) branch.named = named;
    const text = texts.get(residue.key);
    if (text !== undefined) branch.text = text;
    const matches = survey.matches.get(residue.key) ?? [];
    for (const [i, match] of matches.entries()) {
      if (i === 0) branch.match = match;
      // Others that fit are other explanations, each a file of its own.
      else above.children.set(`fd ${residue.key} ${i}`, { ...branch, match, children: new Map() });
    }
  }
  for (const [i, one] of lost.entries()) {
    const { branch } = branchAt(root, wayTo(survey, names, one.named.directory, 0));
    branch.children.set(`lost ${i}`, { name: one.named.name, lost: one, children: new Map() });
  }
  return toldApart(root);
}

/** The branch at the end of a way, made where there is none yet, and the one above it. */
function branchAt(root: Branch, steps: readonly Step[]): { branch: Branch; above: Branch } {
  let branch = root;
  let above = root;
  for (const { key, name } of steps) {
    let next = branch.children.get(key);
    if (next === undefined) {
      next = { name, children: new Map() };
      branch.children.set(key, next);
    }
    above = branch;
    branch = next;
  }
  return { branch, above };
}

/** The way to a residue: live directories by their paths, others by their descriptors. */
function stepsTo(survey: Survey, names: ReadonlyMap<number, Named>, residue: Residue): Step[] {
  const { key, address, parent } = residue;
  const named = names.get(key);
  const above = named?.directory ?? (parent || survey.above.get(address));
  return [...wayTo(survey, names, above, address), { key: `fd ${key}`, name: named?.name ?? addressText(address) }];
}

/** Names of the directories down to one, by its descriptor's address. */
export function pathTo(survey: Survey, names: ReadonlyMap<number, Named>, directory: number): string[] {
  return wayTo(survey, names, directory, 0).map(({ name }) => name);
}

/** The way from the top down to a directory, by its descriptor's address; `below` is what is in it. */
function wayTo(
  survey: Survey,
  names: ReadonlyMap<number, Named>,
  directory: number | undefined,
  below: number,
): Step[] {
  const out: Step[] = [];
  const seen = new Set([below]);
  let next = directory ?? 0;
  while (next !== 0 && !seen.has(next) && seen.size < MAX_PATH_DEPTH) {
    seen.add(next);
    const path = survey.paths.get(next);
    if (path !== undefined) {
      out.unshift(...path.map((name, i) => ({ key: `path ${path.slice(0, i + 1).join('/')}`, name })));
      break;
    }
    const named = names.get(next);
    const residue = survey.residues.get(next);
    out.unshift({ key: `fd ${next}`, name: named?.name ?? `fd-${addressText(next)}` });
    next = named?.directory ?? (residue?.parent || survey.above.get(next) || 0);
  }
  return out;
}

/** The same tree by names: of those that want one name, the newest has it, the others get ';2', ';3'. */
function toldApart(branch: Branch): Branch {
  const rank = (a: Branch, b: Branch): number =>
    (b.residue?.modified ?? 2 ** 33) - (a.residue?.modified ?? 2 ** 33) ||
    (b.residue?.token ?? 0) - (a.residue?.token ?? 0) ||
    (a.residue?.address ?? 0) - (b.residue?.address ?? 0);
  const list = [...branch.children.values()];
  list.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : rank(a, b)));
  const children = new Map<string, Branch>();
  for (const child of list) {
    let name = child.name;
    for (let n = 2; children.has(name); n++) name = `${child.name};${n}`;
    children.set(name, toldApart({ ...child, name }));
  }
  return { ...branch, children };
}
