/** What is known of bytes, in the order of the API's picture, with the colours that stand for it. */

export interface GradeClass {
  readonly id: string;
  readonly label: string;
  readonly meaning: string;
  readonly light: string;
  readonly dark: string;
}

export const CLASSES: readonly GradeClass[] = [
  {
    id: 'verified',
    label: 'Verified',
    meaning: 'a checksum or a second copy agrees',
    light: '#1c6b3c',
    dark: '#3fae6d',
  },
  {
    id: 'stated',
    label: 'Stated',
    meaning: 'live metadata says so and its checks passed',
    light: '#4f9fc9',
    dark: '#3f86ad',
  },
  {
    id: 'inferred',
    label: 'Inferred',
    meaning: 'stale, partial or rebuilt metadata says so',
    light: '#e0a526',
    dark: '#c98f12',
  },
  { id: 'guessed', label: 'Guessed', meaning: 'content suggests so', light: '#9a63c4', dark: '#a979d1' },
  { id: 'zero', label: 'Zeros', meaning: 'no bytes are stored here by definition', light: '#dfe4e8', dark: '#39424a' },
  { id: 'missing', label: 'Missing', meaning: 'could not be had', light: '#d13030', dark: '#e05252' },
];

/** What was not looked at is drawn like nothing at all. */
export const UNKNOWN = { light: '#ffffff', dark: '#16191c' };

/** The class of a run that the API names by state and certainty. */
export function classOf(run: { readonly state: string; readonly certainty: string }): string {
  if (run.state === 'missing') return 'missing';
  if (run.state === 'zero' && (run.certainty === 'stated' || run.certainty === 'verified')) return 'zero';
  return run.certainty;
}
