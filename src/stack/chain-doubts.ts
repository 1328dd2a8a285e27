/** What is in doubt where one disk is read through another that is not proved to be its parent. */
import type { Damage } from '../core/damage.ts';
import { printable } from '../core/locator.ts';
import type { Backing } from '../core/node.ts';
import type { Why } from '../core/run.ts';
import type { Link } from './chains.ts';

/** What a layer calls its parent. */
export function nameOf(backing: Backing): string {
  return backing.names.map((name) => `"${printable(name)}"`).join(' or ') || (backing.identity ?? 'its parent');
}

/** Why what is read through a link is no more than inferred; undefined where it is as good as its layers. */
export function doubtOf(link: Link, backing: Backing, at: string): { damage: Damage; why: Why } | undefined {
  const { file, alone, how, alike } = link;
  const is = alone.identities.join(', ') || 'none';
  const said = (code: string, expected: string, actual: string, effect: string, what: string) => ({
    damage: { code, at, expected, actual, effect },
    why: { what: `${file.locator}, ${what}`, code },
  });
  if (how === 'named') {
    const effect = 'it is read through all the same; what comes from it and below is inferred';
    const expected = `a parent ${backing.identity === undefined ? nameOf(backing) : `that is ${backing.identity}`}`;
    return said('chain.identity', expected, `${file.locator}: ${is}`, effect, 'a parent by its name alone');
  }
  if (how === 'changed') {
    const effect = 'it was written to after this layer was made: what comes from it and below is inferred';
    const expected = `${file.locator} as it was: ${backing.unchanged}`;
    return said('chain.changed', expected, is, effect, 'a parent that was written to later');
  }
  if (how === 'alike') {
    const effect = `${file.locator} is read through, and what comes from it and below is inferred; see salvor chain`;
    const actual = [file, ...alike].map(({ locator }) => locator).join(', ');
    return said('chain.alike', `one parent that is ${backing.identity}`, actual, effect, 'one of several parents');
  }
  if (how === 'alike-bytes') {
    const effect = 'it is read through by its bytes; what comes from it and below is inferred. See salvor chain';
    return said(
      'chain.bytes',
      'the name of its parent',
      `none; ${file.locator} holds what it copied`,
      effect,
      'a parent by its bytes',
    );
  }
  if (how === 'chosen') {
    const effect = 'it was chosen: what comes from it and below is inferred';
    const expected = `a parent ${backing.identity === undefined ? nameOf(backing) : `that is ${backing.identity}`}`;
    return said('chain.chosen', expected, `${file.locator}: ${is}`, effect, 'a parent that was chosen');
  }
  return undefined;
}
