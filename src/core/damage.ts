/** Damage: a departure from what should be. Data, never an exception. */

export interface Damage {
  /** Stable name for scripts: 'vmfs.fd.self-address'. */
  readonly code: string;
  /** Locator of the bytes that are wrong: `disk.img::gpt/p1::vmfs-lvm@4343808`. */
  readonly at: string;
  readonly expected: string;
  readonly actual: string;
  /** What follows from it for the person, in plain words. */
  readonly effect: string;
}

/** One sentence with position, expected and actual. */
export function sentence(damage: Damage): string {
  return `${damage.at}: expected ${damage.expected}, found ${damage.actual}; ${damage.effect} (${damage.code})`;
}

/** A number the way people compare them with hex dumps: 4096 (0x1000). */
export function hex(value: number): string {
  return value < 10 ? String(value) : `${value} (0x${value.toString(16)})`;
}
