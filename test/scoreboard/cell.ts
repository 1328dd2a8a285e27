/** A cell of the scoreboard: one damage to one store. */
import type { Case } from './case.ts';
import type { Size, Version } from './store.ts';

/** What must come back, as shares of what survives; undefined where no bar is set. */
export interface Bar {
  readonly bytes: number;
  readonly names?: number;
  /** Instead of `bytes` for disks in one piece and for interleaved ones. */
  readonly thin?: number;
}

export interface Damage {
  readonly id: string;
  readonly bar: Bar;
  /** All three by default. */
  readonly versions?: readonly Version[];
  /** 5 and 20 machines by default. */
  readonly sizes?: readonly Size[];
  /** Makes the damaged store in a directory that is there and empty. */
  make(version: Version, size: Size, dir: string, seed: number): Promise<Case>;
}

export interface Group {
  readonly id: string;
  readonly title: string;
  readonly damages: readonly Damage[];
}

export interface Cell {
  /** GROUP/DAMAGE/vVERSION/mMACHINES */
  readonly id: string;
  readonly group: Group;
  readonly damage: Damage;
  readonly version: Version;
  readonly size: Size;
  readonly seed: number;
}
