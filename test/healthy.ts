/** Whether a disk that qemu-img made is read as it reads it: every byte, each of them sure, and what is zeros. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { flatten } from '../src/core/resolve.ts';
import { CERTAINTY_NAMES, DATA, INFERRED, RunList, STATED, ZERO } from '../src/core/run.ts';
import type { Source } from '../src/core/source.ts';
import { Stack } from '../src/stack/stack.ts';
import { type Healthy, healthy } from './make/disk/healthy.ts';

const SECTOR = 512;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Makes the disk of a seed and reads it. Answers what it is, and what is wrong. `spoil` falsifies the truth first. */
export async function readHealthy(
  seed: number,
  spoil?: (made: Healthy) => void,
): Promise<{ what: string; wrong: string[] }> {
  const dir = mkdtempSync(join(tmpdir(), 'salvor-healthy-'));
  const made = healthy(seed, dir);
  spoil?.(made);
  const stack = new Stack([join(dir, made.top)]);
  try {
    const node = await stack.inside(stack.roots[0]);
    // A raw disk is its own file.
    const source = node?.kind === 'disk' ? await node.bytes?.() : await stack.roots[0].bytes?.();
    if (source === undefined) return { what: made.what, wrong: ['it is not opened'] };
    const damage = node?.kind === 'disk' ? node.damage.map(({ code }) => code) : [];
    return { what: made.what, wrong: [...damage, ...(await departures(made, source))] };
  } catch (error) {
    return { what: made.what, wrong: [`threw ${(error as Error).stack}`] };
  } finally {
    stack.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function departures({ raw, map, isMapLoose, isDoubtful }: Healthy, source: Source): Promise<string[]> {
  const out: string[] = [];
  if (source.size !== raw.length) return [`${source.size} bytes, and qemu-img has ${raw.length}`];
  const bytes = new Uint8Array(source.size);
  const gaps = await source.read(0, bytes);
  if (gaps.length > 0) out.push(`${gaps.length} gaps: ${gaps[0].code}`);
  if (sha256(bytes) !== sha256(raw)) out.push(`byte ${bytes.findIndex((byte, i) => byte !== raw[i])} differs`);
  const states = new Uint8Array(source.size / SECTOR);
  const list = new RunList();
  for (let at = 0; at < source.size; ) {
    list.clear();
    let from = at;
    at = await flatten(source, at, source.size, list);
    for (let i = 0; i < list.n; i++) {
      states.fill(list.state(i), Math.floor(from / SECTOR), (from + list.length[i]) / SECTOR);
      const least = isDoubtful ? INFERRED : STATED;
      if (list.certainty(i) < least)
        out.push(`byte ${from} is ${CERTAINTY_NAMES[list.certainty(i)]}: ${list.why(i)?.code}`);
      from += list.length[i];
    }
  }
  for (const { start, length, zero, data } of map) {
    for (let sector = start / SECTOR; sector < (start + length) / SECTOR; sector++) {
      if (states[sector] === (data ? DATA : ZERO)) continue;
      const holds = raw.subarray(sector * SECTOR, (sector + 1) * SECTOR).some((byte) => byte !== 0);
      // Where a hole of a file counts as zeros, or zeros as data, only what holds something tells.
      if ((isMapLoose || (data && zero)) && !holds) continue;
      out.push(`byte ${sector * SECTOR} is ${data ? 'data' : 'zero'} to qemu-img, and not here`);
      break;
    }
  }
  return out;
}
