/** Globs on paths: '*', '**', '?', '[..]'. */

/** A test for paths inside a volume. A glob without '/' looks at the last name only. */
export type Match = (path: string) => boolean;

/** Makes one test of several globs; any of them may match. Cases of letters count. */
export function globs(patterns: readonly string[]): Match {
  const tests = patterns.map((pattern) => {
    const wanted = new RegExp(`^${expression(pattern.replace(/^\/+|\/+$/g, ''))}$`, 'su');
    const whole = pattern.replace(/\/+$/, '').includes('/');
    return (path: string) => wanted.test(whole ? path : path.slice(path.lastIndexOf('/') + 1));
  });
  return (path) => tests.some((test) => test(path));
}

function expression(glob: string): string {
  let out = '';
  for (let i = 0; i < glob.length; i++) {
    const rest = glob.slice(i);
    const set = /^\[([!^]?)(\]?[^\]/]*)\]/.exec(rest);
    if (rest.startsWith('**/')) {
      out += '(?:[^/]+/)*';
      i += 2;
    } else if (rest.startsWith('**')) {
      out += '.*';
      i += 1;
    } else if (rest[0] === '*') out += '[^/]*';
    else if (rest[0] === '?') out += '[^/]';
    else if (set !== null && set[2] !== '') {
      out += `(?!/)[${set[1] === '' ? '' : '^'}${set[2].replace(/[\\\][&|~^]/g, '\\$&')}]`;
      i += set[0].length - 1;
    } else out += rest[0].replace(/[\\^$.*+?()[\]{}|/]/, '\\$&');
  }
  return out;
}
