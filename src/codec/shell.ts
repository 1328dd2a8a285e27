/** Words as a shell takes them: evidence names machines and files, and people paste what they are told to run. */

/** One word, whatever is in it; quotes only where it needs them. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : inQuotes(word);
}

/** One word that always has quotes: inside of a sentence, whose comma or full stop is no part of it. */
export function inQuotes(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
