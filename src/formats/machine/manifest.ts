/** .mf: the hashes of an appliance's files, and whether they agree. Source: vmconfig.md section 4. */
import type { Damage } from '../../core/damage.ts';
import { hex } from '../../core/damage.ts';
import type { Cx } from '../../core/format.ts';
import { MAX_TEXT } from '../../core/limits.ts';
import { MAX_DISKS } from '../../core/machine.ts';
import type { Source } from '../../core/source.ts';

export interface Listed {
  readonly algorithm: 'SHA1' | 'SHA256' | 'SHA512';
  /** Raw bytes. */
  readonly file: string;
  /** Lower case. */
  readonly hash: string;
}

const LINE = /^(SHA1|SHA256|SHA512)\s*\(([^)\r\n]{1,1024})\)\s*=\s*([0-9a-f]{40,128})\s*$/i;
const DIGITS = { SHA1: 40, SHA256: 64, SHA512: 128 } as const;
const BLOCK = 1024 * 1024;

/** The lines of a manifest; others, and signatures, are passed over. */
export function parseManifest(text: string): Listed[] {
  const out: Listed[] = [];
  for (const line of text.split(/\r\n|\n|\r/)) {
    const match = LINE.exec(line.trim());
    if (match === null || out.length >= MAX_DISKS) continue;
    const algorithm = match[1].toUpperCase() as Listed['algorithm'];
    if (match[3].length === DIGITS[algorithm]) out.push({ algorithm, file: match[2], hash: match[3].toLowerCase() });
  }
  return out;
}

async function hashOf(
  algorithm: Listed['algorithm'],
  source: Source,
  signal: AbortSignal,
): Promise<{ hash: string; missing: number }> {
  // Loaded only where there is a manifest.
  const { createSHA1, createSHA256, createSHA512 } = await import('hash-wasm');
  const hasher = await (algorithm === 'SHA1' ? createSHA1() : algorithm === 'SHA256' ? createSHA256() : createSHA512());
  hasher.init();
  let missing = 0;
  const buffer = new Uint8Array(Math.min(BLOCK, Math.max(1, source.size)));
  for (let at = 0; at < source.size && !signal.aborted; at += BLOCK) {
    const block = buffer.subarray(0, Math.min(BLOCK, source.size - at));
    for (const gap of await source.read(at, block)) missing += gap.length;
    hasher.update(block);
  }
  return { hash: hasher.digest('hex'), missing };
}

/**
 * How the manifest's word on the description itself compares; undefined where it has none, and where the description is
 * larger than what is read of it: that is named elsewhere, and checkMembers compares files of any size.
 */
export async function ownHash(
  listed: readonly Listed[],
  name: string,
  source: Source,
  signal: AbortSignal,
): Promise<{ algorithm: string; expected: string; actual: string; agrees: boolean } | undefined> {
  const own = listed.find(({ file }) => file === name);
  if (own === undefined || source.size > MAX_TEXT) return undefined;
  const { hash, missing } = await hashOf(own.algorithm, source, signal);
  if (signal.aborted) return undefined;
  return { algorithm: own.algorithm, expected: own.hash, actual: hash, agrees: hash === own.hash && missing === 0 };
}

/** Compares every file that a manifest lists with what lies beside it. Reads all of them. */
export async function* checkMembers(listed: readonly Listed[], cx: Cx, signal: AbortSignal): AsyncGenerator<Damage> {
  for (const { algorithm, file, hash } of listed) {
    if (signal.aborted) return;
    const [found] = await cx.siblings({ name: file.split(/[\\/]/).pop() ?? file });
    if (found === undefined) {
      yield cx.damage(0, 'ovf.manifest', `${file} beside it`, 'no such file', 'the appliance is not whole');
      continue;
    }
    const got = await hashOf(algorithm, found.source, signal);
    if (got.missing > 0)
      yield cx.damage(
        0,
        'ovf.manifest',
        `all bytes of ${file}`,
        `${hex(got.missing)} missing`,
        'whether it agrees with the manifest cannot be told',
      );
    else if (got.hash !== hash && !signal.aborted)
      yield cx.damage(
        0,
        'ovf.manifest',
        `${algorithm} ${hash} of ${file}`,
        got.hash,
        'the file was changed after the export, or is damaged',
      );
  }
}
