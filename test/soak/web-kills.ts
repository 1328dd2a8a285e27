/** Child of the soak: node test/soak/web-kills.ts FIRST COUNT. Servers that are killed in scans and recoveries. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { killed, undisturbed } from '../serve/killed.ts';

const [first, count] = process.argv.slice(2).map(Number);
const dir = mkdtempSync(join(tmpdir(), 'salvor-web-kills-'));
try {
  const calm = await undisturbed(dir);
  for (let seed = first; seed < first + count; seed++) {
    const wrong = await killed(seed % 2 === 0 ? 'scan' : 'recover', calm, seed);
    console.log(JSON.stringify({ seed, wrong }));
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}
