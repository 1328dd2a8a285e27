/** What strace saw, judged: did a program do anything to a file but read it? */

/** System calls that could change, lock or replace a file. A '?' is for those that not every machine has. */
const CALLS = `?open openat ?openat2 ?creat ioctl flock fcntl ftruncate truncate fallocate
  write pwrite64 writev pwritev ?pwritev2 ?sendfile splice ?copy_file_range
  ?unlink unlinkat ?rename ?renameat renameat2 ?link linkat
  ?chmod fchmod fchmodat ?chown fchown fchownat ?utime ?utimes ?futimesat utimensat
  setxattr fsetxattr removexattr fremovexattr mount ?io_uring_setup`.split(/\s+/);

/** The value of strace's -e. */
export const TRACED: string = `trace=${CALLS.join(',')}`;

/** Requests that only ask. Whatever else is sent to evidence is a violation, known or not. */
const ASKING_IOCTLS = [
  'BLKGETSIZE',
  'BLKGETSIZE64',
  'BLKSSZGET',
  'BLKPBSZGET',
  'BLKROGET',
  'FIOCLEX',
  'FIONBIO',
  'TCGETS',
];
const ASKING_FCNTLS = ['F_GETFD', 'F_SETFD', 'F_GETFL', 'F_DUPFD', 'F_DUPFD_CLOEXEC'];
const WRITING_FLAGS = /\bO_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)\b/;

/** Lines of `strace -f -y` that do more to `evidence` (a real path) than read it. */
export function violations(lines: readonly string[], evidence: string): string[] {
  const name = evidence.split('/').pop()!;
  const out = lines.filter((line) => isViolation(line, evidence, name));
  const opened = lines.some((line) => /open(at2?)?\(/.test(line) && line.includes(`<${evidence}>`));
  return opened ? out : [...out, `${evidence} was never opened`];
}

function isViolation(line: string, evidence: string, name: string): boolean {
  const call = /(\w+)\(/.exec(line)?.[1];
  if (call === undefined) return false;
  // What goes through a ring does not show. Node waits for events through one; the rings that it sends file
  // operations through (UV_USE_IO_URING=1) poll their queue, and with one of those nothing would be proved.
  if (call === 'io_uring_setup') return /IORING_SETUP_SQPOLL/.test(line) && !line.includes('= -1');
  const descriptor = line.includes(`(${/\((\d+)/.exec(line)?.[1]}<${evidence}>`);
  if (call.startsWith('open')) {
    const named = line.includes(`"${evidence}"`) || line.includes(`<${evidence}>`) || line.includes(`"${name}"`);
    return named && (WRITING_FLAGS.test(line) || !line.includes('O_RDONLY'));
  }
  const request = /^[^,]*, ([A-Z0-9_]+)/.exec(line.slice(line.indexOf('(')))?.[1] ?? '';
  if (call === 'ioctl') return descriptor && !ASKING_IOCTLS.includes(request);
  if (call === 'fcntl') return descriptor && !ASKING_FCNTLS.includes(request);
  if (/^(p?write|writev|splice|sendfile|copy_file_range)/.test(call)) return descriptor;
  return descriptor || line.includes(`"${evidence}"`) || line.includes(`"${name}"`);
}
