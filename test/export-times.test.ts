/** Times before 1970 are set as they are. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { stamp } from '../src/export/times.ts';

test.each([-1, -86_400 * 365, 0, 1.5, 2 ** 31 + 5])('%d seconds since 1970', (seconds) => {
  const dir = fs.mkdtempSync(join(tmpdir(), 'salvor-times-'));
  const file = join(dir, 'file');
  fs.writeFileSync(file, '');
  fs.utimesSync(file, stamp(seconds), stamp(seconds));
  expect(fs.statSync(file).mtimeMs / 1000).toBeCloseTo(seconds, 2);
  fs.rmSync(dir, { recursive: true });
});
