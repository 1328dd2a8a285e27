/** Files as long listings make them: by the hundred thousand, and nearly all of them only to be named. */
import type { Damage } from '../../core/damage.ts';
import { printable } from '../../core/locator.ts';
import type { Facts, Kind, Node, NodeState } from '../../core/node.ts';
import type { Source } from '../../core/source.ts';
import type { Place } from './posix.ts';

/** A file whose name to be shown, and whose facts, are made when they are asked for: to be copied with `changedNode`, not spread. */
export abstract class ListedFile implements Node {
  readonly rawName: string;
  readonly locator: string;
  readonly kind: Kind;
  readonly state: NodeState;
  readonly damage: readonly Damage[];
  parent?: Node;
  #facts: Facts | undefined;

  constructor({ rawName, locator, state = 'live' }: Omit<Place, 'above'>, kind: Kind, damage: readonly Damage[]) {
    this.rawName = rawName;
    this.locator = locator;
    this.kind = kind;
    this.state = state;
    this.damage = damage;
  }

  get name(): string {
    return printable(this.rawName);
  }

  get facts(): Facts {
    this.#facts ??= this.decoded();
    return this.#facts;
  }

  abstract bytes(): Promise<Source>;
  protected abstract decoded(): Facts;
}
