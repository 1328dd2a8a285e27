/** Globs on names and paths: '*', '**', '?', '[a-z]', '[!a]', and '\' before a character that is meant. */

/** A test for paths inside a volume. A glob without '/' looks at the last name only. */
export type Match = (path: string) => boolean;

/** A glob that cannot be meant; the message is a sentence for who typed it. */
export class GlobError extends Error {}

/** Makes one test of several globs; any of them may match. Cases of letters count. Throws GlobError. */
export function globs(patterns: readonly string[]): Match {
  const tests = patterns.map((pattern) => {
    const wanted = globExpression(pattern.replace(/^\/+|\/+$/g, ''));
    const whole = pattern.replace(/\/+$/, '').includes('/');
    return (path: string) => wanted.test(whole ? path : path.slice(path.lastIndexOf('/') + 1));
  });
  return (path) => tests.some((test) => test(path));
}

/** A glob as an expression for the whole of a name or a path; `flags` as of RegExp beside 's' and 'u'. Throws GlobError. */
export function globExpression(glob: string, flags = ''): RegExp {
  const parts = glob.match(/\*\*\/|\*\*+|\\.|\[[!^]?\]?[^\]/]*\]|./gsu) ?? [];
  try {
    return new RegExp(`^${parts.map(partExpression).join('')}$`, `su${flags}`);
  } catch {
    throw new GlobError(`The glob ${glob} has a range that runs backwards.`);
  }
}

function partExpression(part: string): string {
  if (part === '**/') return '(?:[^/]+/)*';
  if (part.startsWith('**')) return '.*';
  if (part === '*') return '[^/]*';
  if (part === '?') return '[^/]';
  const set = part.length > 2 ? /^\[([!^]?)(.+)\]$/s.exec(part) : null;
  if (set !== null) return `(?!/)[${set[1] === '' ? '' : '^'}${set[2].replace(/[\\\][^]/g, '\\$&')}]`;
  const meant = part.length > 1 && part.startsWith('\\') ? part.slice(1) : part;
  return meant.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}
