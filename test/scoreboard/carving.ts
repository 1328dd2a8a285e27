/** npm run scoreboard -- carving: files without a file system, and what Salvor, PhotoRec and foremost make of them. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { LAUNCHER } from '../cli/salvor.ts';
import { dice, seeded } from '../make/content.ts';
import * as make from '../make/files.ts';
import * as more from '../make/more-files.ts';
import { subject } from './record.ts';

const PAGE = join(import.meta.dirname, '..', '..', 'docs', 'scoreboard-carving.md');
const SEED = 20_261_122;
const UNIT = 4096;
const MIB = 1024 * 1024;
const SIZE: number = 500 * MIB;
const WAYS = ['contiguous', 'two pieces', 'three pieces', 'reversed'] as const;
type Way = (typeof WAYS)[number];

interface Put {
  readonly kind: string;
  readonly way: Way;
  readonly sha256: string;
}

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
const noise = (seed: number, length: number): Buffer => Buffer.from(seeded(seed, length).read(0, length));

/** Disks in blocks, of which only their own tables tell the end: these are kept apart as unchecked. */
const BLOCKS: readonly string[] = ['qcow2', 'vdi', 'vhdx', 'vmdk'];

/** What tools write stands in the image once. */
let byTools: [string, Buffer][] | undefined;
function tools(): [string, Buffer][] {
  byTools ??= more.toolFiles(SEED).filter(([kind]) => !BLOCKS.includes(kind));
  return byTools;
}

/** Files of many kinds and sizes, one after the other. */
function fileOf(n: number, roll: (below: number) => number): [string, Buffer] {
  const size = 10_000 + roll(900_000);
  const text = (more: number): Buffer => make.words(n * 10 + more, size);
  const kinds: readonly (readonly [string, () => Buffer])[] = [
    ['jpg', () => make.jpegFile(n, 500 + roll(7000))],
    ['png', () => make.pngFile(n, 100 + roll(300), 100 + roll(300))],
    ['gz', () => zlib.gzipSync(text(1))],
    [
      'zip',
      () =>
        make.zipFile([
          ['a/one.txt', text(2), false],
          ['two.bin', noise(n, 1 + roll(50_000)), true],
        ]),
    ],
    [
      'docx',
      () =>
        make.zipFile([
          ['[Content_Types].xml', Buffer.from('<Types/>'), false],
          ['word/document.xml', text(3), false],
        ]),
    ],
    ['sqlite', () => make.sqliteFile(n, 100 + roll(1500))],
    ['pdf', () => make.pdfFile(n, 2 + roll(30))],
    [
      'tar',
      () =>
        make.tarFile([
          ['one', text(4)],
          ['two', make.words(n, 5000 + roll(50_000))],
        ]),
    ],
    ['mp4', () => make.mp4File(n, size)],
  ];
  // Every fourth round is of the kinds of which there is less to say: first what tools wrote.
  const turn = Math.floor(n / kinds.length);
  if (turn % 4 === 3) {
    const others = more.writtenFiles(n);
    return tools().pop() ?? others[(n + Math.floor(turn / 4)) % others.length];
  }
  const [kind, of] = kinds[n % kinds.length];
  return [kind, of()];
}

function filler(roll: (below: number) => number, units: number): Buffer {
  const kind = roll(3);
  if (kind === 0) return Buffer.alloc(units * UNIT);
  return kind === 1 ? noise(roll(1e9), units * UNIT) : make.words(roll(1e9), units * UNIT);
}

/** Two thirds of the files lie in one piece. */
function wayOf(n: number, bytes: Buffer): Way {
  if (bytes.length < 4 * UNIT) return 'contiguous';
  return n % 12 < 8 ? 'contiguous' : WAYS[1 + (Math.floor(n / 9) % 3)];
}

/** Writes the image; answers what is in it. */
function writeImage(file: string): Put[] {
  const roll = dice(SEED);
  const out: Put[] = [];
  const fd = fs.openSync(file, 'wx');
  let at = 0;
  const add = (data: Buffer): void => {
    fs.writeSync(fd, data, 0, data.length, at);
    at += Math.ceil(data.length / UNIT) * UNIT;
  };
  for (let n = 0; at < SIZE; n++) {
    const [kind, bytes] = fileOf(n, roll);
    const way = wayOf(n, bytes);
    const units = Math.floor(bytes.length / UNIT);
    const cut = UNIT * (1 + roll(Math.max(1, units - 2)));
    const second = UNIT * (cut / UNIT + 1 + roll(Math.max(1, units - cut / UNIT - 1)));
    out.push({ kind, way, sha256: sha256(bytes) });
    if (way === 'contiguous') add(bytes);
    else if (way === 'two pieces')
      for (const part of [bytes.subarray(0, cut), filler(roll, 1 + roll(40)), bytes.subarray(cut)]) add(part);
    else if (way === 'three pieces')
      for (const part of [
        bytes.subarray(0, cut),
        filler(roll, 3),
        bytes.subarray(cut, second),
        filler(roll, 5),
        bytes.subarray(second),
      ])
        add(part);
    else for (const part of [bytes.subarray(cut), filler(roll, 4), bytes.subarray(0, cut)]) add(part);
    add(filler(roll, 1 + roll(10)));
  }
  fs.ftruncateSync(fd, at);
  fs.closeSync(fd);
  return out;
}

interface Result {
  readonly program: string;
  readonly seconds: number;
  readonly right: ReadonlyMap<string, number>;
  readonly presented: number;
  readonly wrong: number;
}

/** Runs a program, and holds what it presents against what was put in. Shelves of what it doubts do not count. */
function run(
  program: string,
  command: readonly string[],
  out: string,
  doubted: RegExp,
  puts: readonly Put[],
): Result | undefined {
  const from = performance.now();
  const done = spawnSync(command[0], command.slice(1), { stdio: 'ignore' });
  if (done.error !== undefined) return undefined;
  const seconds = (performance.now() - from) / 1000;
  const wanted = new Map(puts.map((put) => [put.sha256, put]));
  const right = new Map<string, number>();
  let presented = 0;
  let wrong = 0;
  for (const name of fs.readdirSync(out, { recursive: true }) as string[]) {
    const file = join(out, name);
    if (!fs.statSync(file).isFile() || doubted.test(name)) continue;
    presented++;
    const hash = sha256(fs.readFileSync(file));
    const put = wanted.get(hash);
    if (put === undefined) wrong++;
    else for (const key of [put.way, `${put.way} ${put.kind}`]) right.set(key, (right.get(key) ?? 0) + 1);
    wanted.delete(hash);
  }
  return { program, seconds, right, presented, wrong };
}

function page(puts: readonly Put[], results: readonly Result[], when: string): string {
  const kinds = [...new Set(puts.map(({ kind }) => kind))];
  const all = (way: Way, kind?: string): number =>
    puts.filter((put) => put.way === way && (kind === undefined || put.kind === kind)).length;
  const share = (had: number, of: number): string => (of === 0 ? '–' : `${((had / of) * 100).toFixed(1)} %`);
  const head = (first: string): string[] => [
    `| ${[first, ...results.map(({ program }) => program)].join(' | ')} |`,
    `| --- |${' --- |'.repeat(results.length)}`,
  ];
  const row = (name: string, cell: (result: Result) => string): string =>
    `| ${[name, ...results.map(cell)].join(' | ')} |`;
  return `${[
    '# Carving',
    '',
    'Written by `npm run scoreboard -- carving`; do not edit.',
    '',
    `An image of ${SIZE / MIB} MB without any file system, made with seed ${SEED}: ${puts.length} files of ${kinds.length} kinds in one piece, in two or`,
    'three with other bytes between, and with their second half in front; zeros, text and noise between them. Exact is a file',
    'with every byte and the right end. Precision is the share of exact ones of all that is presented as recovered: what',
    'Salvor keeps apart as broken or unchecked is not, and kinds of which it can only tell so much are not in the image.',
    '',
    when,
    '',
    ...head('exact'),
    ...WAYS.map((way) => row(`${way} (${all(way)})`, ({ right }) => share(right.get(way) ?? 0, all(way)))),
    row('precision', ({ presented, wrong }) => (presented === 0 ? '–' : ((presented - wrong) / presented).toFixed(3))),
    row('seconds', ({ seconds }) => seconds.toFixed(1)),
    '',
    ...head('contiguous, exact'),
    ...kinds.map((kind) =>
      row(`${kind} (${all('contiguous', kind)})`, ({ right }) =>
        share(right.get(`contiguous ${kind}`) ?? 0, all('contiguous', kind)),
      ),
    ),
  ].join('\n')}\n`;
}

/** Makes the image, runs all programs that are there, and writes the page. Answers whether the bars are met. */
export function carving(): boolean {
  const dir = fs.mkdtempSync(join(tmpdir(), 'salvor-carving-'));
  try {
    const image = join(dir, 'image');
    const puts = writeImage(image);
    const out = (name: string): string => join(dir, name);
    for (const name of ['photorec', 'foremost']) fs.mkdirSync(out(name));
    const results = [
      run(
        'Salvor',
        [process.execPath, LAUNCHER, 'recover', image, '--carve', '--out', out('salvor')],
        out('salvor'),
        /\.salvor|manifest\.json|broken|unchecked/,
        puts,
      ),
      run(
        'PhotoRec',
        [
          'photorec',
          '/d',
          join(out('photorec'), 'x'),
          '/cmd',
          image,
          'partition_none,options,paranoid,keep_corrupted_file_no,fileopt,everything,enable,search',
        ],
        out('photorec'),
        /report\.xml/,
        puts,
      ),
      run('foremost', ['foremost', '-q', '-o', join(out('foremost'), 'x'), image], out('foremost'), /audit\.txt/, puts),
    ].filter((one) => one !== undefined);
    const when = `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC, at ${subject().commit}, ${os.cpus().length} cores of ${os.cpus()[0]?.model ?? 'an unknown CPU'}.`;
    fs.writeFileSync(PAGE, page(puts, results, when));
    console.log(fs.readFileSync(PAGE, 'utf8'));
    const [mine] = results;
    const contiguous = puts.filter(({ way }) => way === 'contiguous').length;
    return (
      (mine.right.get('contiguous') ?? 0) / contiguous >= 0.995 &&
      (mine.presented - mine.wrong) / mine.presented >= 0.98
    );
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
}
