/** What a case keeps of machines that were started: the run, what was seen, and the last picture of the screen. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Case } from '../../case/case.ts';
import { writeNew } from '../../export/run-folder.ts';
import type { Picture } from './screen.ts';
import { pngOf } from './screen.ts';

/** Below the folder of the case. */
const SCREENS = 'screens';

/** Enters how a start ended, for the report. Answers the path of the picture, where there is one. */
export function keepStart(
  kept: Case,
  options: Readonly<Record<string, unknown>>,
  said: string,
  picture: Picture | undefined,
): string | undefined {
  const id = kept.beginRun('boot', options);
  const file = path.join(kept.dir, SCREENS, `boot-${id}-${Date.now()}.png`);
  if (picture !== undefined) writeNew(file, pngOf(picture));
  kept.endRun(id, 'done', said);
  return picture === undefined ? undefined : file;
}

/** The newest picture of a run, where one was kept. */
export function pictureOfRun(dir: string, id: number): Uint8Array | undefined {
  const folder = path.join(dir, SCREENS);
  if (!fs.existsSync(folder)) return undefined;
  const names = fs.readdirSync(folder).filter((name) => name.startsWith(`boot-${id}-`) && name.endsWith('.png'));
  const newest = names.sort().at(-1);
  return newest === undefined ? undefined : fs.readFileSync(path.join(folder, newest));
}
