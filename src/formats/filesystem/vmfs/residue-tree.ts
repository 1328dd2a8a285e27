/** The two trees of what is left: below each, the directories as far as they are known. */
import { MAX_PATH_DEPTH } from '../../../core/limits.ts';
import { addressText } from './address.ts';
import type { Match } from './residue-match.ts';
import type { Named } from './residue-names.ts';
import type { Chain } from './residue-pointers.ts';
import type { Residue, Survey } from './residue-survey.ts';

/** A place in a tree; without a residue it is a directory that lives, or is known by its address only. */
export interface Branch {
  readonly name: string;
  residue?: Residue;
  named?: Named;
  /** Pointer blocks without a descriptor. */
  chain?: Chain;
  /** Pointer blocks that fit a descriptor which lost its own. */
  match?: Match;
  /** Names that are told apart, in order. */
  readonly children: Map<string, Branch>;
}

interface Step {
  readonly key: string;
  readonly name: string;
}

/** The tree of all residues of one state. */
export function treeOf(survey: Survey, names: ReadonlyMap<number, Named>, state: Residue['state']): Branch {
  const root: Branch = { name: '', children: new Map() };
  for (const residue of survey.residues.values()) {
    if (residue.state !== state) continue;
    let branch = root;
    let above = root;
    for (const { key, name } of stepsTo(survey, names, residue)) {
      let next = branch.children.get(key);
      if (next === undefined) {
        next = { name, children: new Map() };
        branch.children.set(key, next);
      }
      above = branch;
      branch = next;
    }
    branch.residue = residue;
    const named = names.get(residue.key);
    if (named !== undefined) branch.named = named;
    const matches = survey.matches.get(residue.key) ?? [];
    for (const [i, match] of matches.entries()) {
      if (i === 0) branch.match = match;
      // Others that fit are other explanations, each a file of its own.
      else above.children.set(`fd ${residue.key} ${i}`, { ...branch, match, children: new Map() });
    }
  }
  for (const chain of state === 'orphan' ? survey.chains : []) {
    root.children.set(chain.name, { name: chain.name, chain, children: new Map() });
  }
  return toldApart(root);
}

/** The way to a residue: live directories by their paths, others by their descriptors. */
function stepsTo(survey: Survey, names: ReadonlyMap<number, Named>, residue: Residue): Step[] {
  const out: Step[] = [];
  const seen = new Set<number>();
  let next: Residue | undefined = residue;
  while (next !== undefined && !seen.has(next.key) && seen.size < MAX_PATH_DEPTH) {
    seen.add(next.key);
    const named = names.get(next.key);
    out.unshift({ key: `fd ${next.key}`, name: named?.name ?? addressText(next.address) });
    const above = named?.directory ?? (next.parent || survey.above.get(next.address));
    if (above === undefined || above === 0) break;
    const path = survey.paths.get(above);
    if (path !== undefined) {
      out.unshift(...path.map((name, i) => ({ key: `path ${path.slice(0, i + 1).join('/')}`, name })));
      break;
    }
    next = survey.residues.get(above);
    if (next === undefined) out.unshift({ key: `fd ${above}`, name: `fd-${addressText(above)}` });
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
