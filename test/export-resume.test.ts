import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CHUNK, TreeHash } from '../src/codec/tree-hash.ts';
import { recover, verify } from '../src/export/index.ts';
import { readJournal } from '../src/export/journal.ts';
import { Stack } from '../src/stack/stack.ts';

const MIB = 1024 * 1024;
const KILLS = 10;
let dir = '';
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'salvor-resume-'));
  fs.mkdirSync(path.join(dir, 'evidence'));
});
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }));

const evidence = (name: string): string => path.join(dir, 'evidence', name);
const signal = new AbortController().signal;

async function run(out: string, stop: AbortSignal = signal, onProgress?: () => void) {
  const stack = new Stack([path.join(dir, 'evidence')]);
  const base = { fill: 'zero', sha256: true, symlinks: 'text', system: false, command: ['salvor', 'recover'] } as const;
  try {
    return await recover(stack, { ...base, out, signal: stop, ...(onProgress && { onProgress }) });
  } finally {
    stack.close();
  }
}

/** Names, sizes, modes and contents of all that was recovered. (Files of a directory bring no times with them.) */
function snapshot(out: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of fs.readdirSync(out, { recursive: true, encoding: 'utf8' }).sort()) {
    if (name === 'manifest.json' || name.startsWith('.salvor')) continue;
    const stat = fs.lstatSync(path.join(out, name));
    const bytes = stat.isFile() ? fs.readFileSync(path.join(out, name)) : Buffer.alloc(0);
    const content = createHash('sha256').update(bytes).digest('hex');
    found[name] = `${stat.mode} ${stat.isFile() ? stat.size : 'directory'} ${content}`;
  }
  return found;
}

const SCRIPT = (src: string): string => `
import { Stack } from '${src}/stack/stack.ts';
import { recover } from '${src}/export/index.ts';
const [out, evidence] = process.argv.slice(2);
const signal = new AbortController().signal;
const base = { fill: 'zero', sha256: true, symlinks: 'text', system: false, command: ['salvor', 'recover'] };
await recover(new Stack([evidence]), { ...base, out, signal });
`;

function start(script: string, out: string): { child: ChildProcess; ended: Promise<number | null> } {
  const child = spawn(process.execPath, ['--no-warnings', script, out, path.join(dir, 'evidence')], {
    stdio: 'inherit',
  });
  return { child, ended: new Promise((resolve) => child.once('exit', (code) => resolve(code))) };
}

describe('kill -9 and resume', () => {
  it(`gives the same tree and manifest after ${KILLS} kills at random moments`, { timeout: 180_000 }, async () => {
    fs.writeFileSync(evidence('disk.bin'), randomBytes(150 * MIB + 77));
    fs.writeFileSync(evidence('middle.bin'), randomBytes(40 * MIB));
    fs.mkdirSync(evidence('many'));
    for (let i = 0; i < 400; i++) fs.writeFileSync(evidence(`many/${i}`), randomBytes(10_000 + i));
    const script = path.join(dir, 'run.mts');
    fs.writeFileSync(script, SCRIPT(path.resolve(import.meta.dirname, '../src')));

    const calm = path.join(dir, 'calm');
    expect(await start(script, calm).ended).toBe(0);
    const rough = path.join(dir, 'rough');
    let kills = 0;
    for (let attempt = 0; attempt < 60 && kills < KILLS; attempt++) {
      const { child, ended } = start(script, rough);
      while (child.exitCode === null && !fs.existsSync(path.join(rough, '.salvor/journal.ndjson'))) await sleep(2);
      // From the second start on the journal is there at once: wait past what a start takes.
      await sleep((attempt === 0 ? 0 : 250) + Math.random() * 250);
      child.kill('SIGKILL');
      await ended;
      if (fs.existsSync(path.join(rough, 'manifest.json'))) fs.rmSync(rough, { recursive: true });
      else kills++;
    }
    expect(kills).toBe(KILLS);
    expect(await start(script, rough).ended).toBe(0);
    const [wanted, got] = [snapshot(calm), snapshot(rough)];
    expect(Object.keys(got)).toEqual(Object.keys(wanted));
    expect(Object.keys(wanted).filter((name) => got[name] !== wanted[name])).toEqual([]);
    const manifest = (out: string): unknown => JSON.parse(fs.readFileSync(path.join(out, 'manifest.json'), 'utf8'));
    expect(manifest(rough)).toEqual(manifest(calm));
    expect((await verify(rough, { signal })).intact).toBe(true);
  });
});

describe('stop and go on', () => {
  it('ends with its journal written when aborted, and goes on to the same result', async () => {
    fs.writeFileSync(evidence('disk.bin'), randomBytes(200 * MIB));
    const whole = await run(path.join(dir, 'whole'));
    const controller = new AbortController();
    const out = path.join(dir, 'out');
    const stopped = run(out, controller.signal, () => {
      if (fs.existsSync(path.join(out, 'disk.bin.part'))) controller.abort();
    });
    await expect(stopped).rejects.toMatchObject({ code: 'interrupted' });
    expect(fs.existsSync(path.join(out, 'manifest.json'))).toBe(false);
    expect(fs.existsSync(path.join(out, '.salvor/lock'))).toBe(false);
    expect(readJournal(out)?.files.get('disk.bin')?.leaves.size).toBeGreaterThan(0);
    expect(await run(out)).toEqual(whole);
  });

  it('cuts off a torn last line, and lets one run at a time write', async () => {
    fs.writeFileSync(evidence('a'), 'a');
    const out = path.join(dir, 'out');
    const whole = await run(out);
    fs.rmSync(path.join(out, 'manifest.json'));
    fs.appendFileSync(path.join(out, '.salvor/journal.ndjson'), '{"t":"done","entry":{"pa');
    fs.writeFileSync(path.join(out, '.salvor/lock'), `${process.pid} 1\n`); // this number, but another start: gone
    expect(await run(out)).toEqual(whole);
    fs.rmSync(path.join(out, 'manifest.json'));
    const stat = fs.readFileSync('/proc/self/stat', 'latin1');
    const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    fs.writeFileSync(path.join(out, '.salvor/lock'), `${process.pid} ${started}\n`);
    await expect(run(out)).rejects.toMatchObject({ code: 'busy' });
  });

  it('copies a finished file again when its bytes changed and no manifest vouches for it', async () => {
    for (const name of ['a', 'b']) fs.writeFileSync(evidence(name), randomBytes(3 * CHUNK));
    const out = path.join(dir, 'out');
    const whole = await run(out);
    fs.rmSync(path.join(out, 'manifest.json'));
    const fd = fs.openSync(path.join(out, 'b'), 'r+');
    fs.writeSync(fd, 'junk', CHUNK + 5);
    fs.closeSync(fd);
    expect(await run(out)).toEqual(whole);
    expect(fs.readFileSync(path.join(out, 'b')).equals(fs.readFileSync(evidence('b')))).toBe(true);
  });
});

describe('what a journal may be believed', () => {
  /** An output as a kill leaves it: 20 chunks, all written, the first 8 of them synced, 8 more noted. */
  async function killed(): Promise<{ out: string; bytes: Buffer; tree: string | null }> {
    const bytes = randomBytes(20 * CHUNK);
    fs.writeFileSync(evidence('disk.bin'), bytes);
    const out = path.join(dir, 'out');
    const manifest = await run(out);
    const tree = manifest.files[0].tree;
    fs.rmSync(path.join(out, 'manifest.json'));
    fs.renameSync(path.join(out, 'disk.bin'), path.join(out, 'disk.bin.part'));
    const journal = path.join(out, '.salvor/journal.ndjson');
    const lines = fs
      .readFileSync(journal, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((l) => JSON.parse(l));
    const leaves: string[] = lines.filter((line) => line.t === 'leaves').flatMap((line) => line.leaves);
    expect(leaves).toHaveLength(20);
    const first = new TreeHash(bytes.length);
    for (let i = 0; i < 8; i++) first.leaf(i, Buffer.from(leaves[i], 'hex'));
    const tops = first.tops().map((top) => Buffer.from(top).toString('hex'));
    const kept = [
      ...lines.filter((line) => line.t === 'run' || line.t === 'file'),
      { t: 'leaves', path: 'disk.bin', at: 0, leaves: leaves.slice(0, 16) },
      { t: 'synced', path: 'disk.bin', chunks: 8, tops },
    ];
    fs.writeFileSync(journal, kept.map((line) => `${JSON.stringify(line)}\n`).join(''));
    return { out, bytes, tree };
  }

  it('reads again what was not synced, and copies what differs', async () => {
    const { out, bytes, tree } = await killed();
    const fd = fs.openSync(path.join(out, 'disk.bin.part'), 'r+');
    fs.writeSync(fd, 'lost in a power cut', 10 * CHUNK); // noted, not synced
    fs.writeSync(fd, 'never noted', 18 * CHUNK);
    fs.closeSync(fd);
    const manifest = await run(out);
    expect(manifest.files[0].tree).toBe(tree);
    expect(fs.readFileSync(path.join(out, 'disk.bin')).equals(bytes)).toBe(true);
  });

  it('takes synced chunks as they stand', async () => {
    const { out, bytes, tree } = await killed();
    const fd = fs.openSync(path.join(out, 'disk.bin.part'), 'r+');
    fs.writeSync(fd, 'X', CHUNK); // a synced chunk: not read again by a resume, but by verify
    fs.closeSync(fd);
    const manifest = await run(out);
    expect(manifest.files[0].tree).toBe(tree);
    const result = await verify(out, { signal });
    expect(result.differences.map((d) => d.what)).toEqual(bytes[CHUNK] === 88 ? [] : ['tree']);
  });
});
