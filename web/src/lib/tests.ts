/** The tests of a search as a person types them, and as the API takes them. */

export interface Tests {
  readonly text: string;
  readonly kind: string;
  readonly state: string;
  readonly certainty: string;
  readonly damaged: boolean;
  /** As typed: 64M, 1GiB. */
  readonly larger: string;
  readonly smaller: string;
  /** As a date field gives them: 2024-05-01. */
  readonly newer: string;
  readonly older: string;
}

export const NO_TESTS: Tests = {
  text: '',
  kind: '',
  state: '',
  certainty: '',
  damaged: false,
  larger: '',
  smaller: '',
  newer: '',
  older: '',
};

export const KINDS = [
  { value: '', label: 'every kind' },
  { value: 'file', label: 'files' },
  { value: 'directory', label: 'folders' },
  { value: 'symlink', label: 'links' },
  { value: 'disk', label: 'disks' },
  { value: 'filesystem', label: 'file systems' },
  { value: 'system', label: 'system files' },
];

export const STATES = [
  { value: '', label: 'every state' },
  { value: 'live', label: 'live' },
  { value: 'deleted', label: 'deleted' },
  { value: 'orphan', label: 'orphaned' },
  { value: 'carved', label: 'carved' },
];

export const CERTAINTIES = [
  { value: '', label: 'every certainty' },
  { value: 'verified', label: 'verified' },
  { value: 'stated', label: 'stated' },
  { value: 'inferred', label: 'inferred at worst' },
  { value: 'guessed', label: 'guessed at worst' },
  { value: 'missing', label: 'bytes missing' },
];

const POWERS = ['', 'k', 'm', 'g', 't', 'p'];
const DAY = 86_400;

/** A size as people write it, in bytes; NaN where it is none. */
export function sizeOf(typed: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?$/i.exec(typed.trim());
  return match === null ? Number.NaN : Math.round(Number(match[1]) * 1024 ** POWERS.indexOf(match[2].toLowerCase()));
}

type Query = Record<string, string | number | undefined>;

/** The tests as the API takes them; a size that is none, and text that is not there, are no tests. */
export function queryOf(tests: Tests): Query {
  const size = (typed: string): number | undefined => (Number.isSafeInteger(sizeOf(typed)) ? sizeOf(typed) : undefined);
  const day = (typed: string, more: number): number | undefined => {
    const seconds = Date.parse(`${typed}T00:00:00Z`) / 1000;
    return Number.isNaN(seconds) ? undefined : Math.max(0, seconds + more);
  };
  return {
    text: tests.text,
    kind: tests.kind || undefined,
    state: tests.state || undefined,
    certainty: tests.certainty || undefined,
    damaged: tests.damaged ? 'true' : undefined,
    larger: size(tests.larger),
    smaller: size(tests.smaller),
    newer: day(tests.newer, 0),
    // The day that is named counts too.
    older: day(tests.older, DAY - 1),
  };
}
