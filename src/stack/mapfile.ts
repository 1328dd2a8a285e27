/** The mapfile that a copying program left beside an image: what it could not copy is missing, not zero. */
import { MAX_MAPFILE_BYTES, MapfileError, parseMapfile, type StatusMap } from '../codec/mapfile.ts';
import { EvidenceError, type FileSource, textBeside } from '../core/evidence.ts';
import { printable } from '../core/locator.ts';

/** What is put behind the name of an image. */
const ENDINGS = ['.map', '.mapfile'];

/**
 * Looks for IMAGE.map and IMAGE.mapfile, and has `file` read none of what these do not say was copied.
 * Answers a sentence about it; undefined where there is no mapfile.
 */
export function useMapfileBeside(file: FileSource): string | undefined {
  if (file.identity.block) return undefined; // beside a device's node lie no files of a person
  for (const ending of ENDINGS) {
    const path = file.path + ending;
    const name = printable(Buffer.from(path, 'utf8').toString('latin1'));
    const unused = `what was not copied may stand as zeros in ${file.path.split('/').pop()}`;
    let text: string | undefined;
    try {
      text = textBeside(path, MAX_MAPFILE_BYTES);
      if (text === undefined) continue;
      const { stretches, bytes } = notCopied(parseMapfile(text, file.size), file.size);
      file.useMapfile(path, stretches);
      return said(name, stretches.length / 2, bytes);
    } catch (error) {
      // Programs call other things maps as well; only what starts like a mapfile is worth a word.
      if (error instanceof MapfileError && text?.startsWith('#') !== true) continue;
      if (error instanceof MapfileError) return `Not used: ${name} is no mapfile, ${error.message}; ${unused}.`;
      if (error instanceof EvidenceError) return `Not used: ${error.message.replace(/\.$/, '')}; ${unused}.`;
      throw error;
    }
  }
  return undefined;
}

function said(name: string, count: number, bytes: number): string {
  if (count === 0) return `Used ${name}: all was copied.`;
  return `Used ${name}: ${count} unreadable range${count === 1 ? '' : 's'}, ${amount(bytes)}.`;
}

/** What is not had, within `size`, as [start, end, …]. Bytes that the map does not speak of were not tried. */
function notCopied(map: StatusMap, size: number): { stretches: number[]; bytes: number } {
  const stretches: number[] = [];
  let bytes = 0;
  const add = (at: number, end: number): void => {
    if (at >= end) return;
    bytes += end - at;
    if (stretches.at(-1) === at) stretches[stretches.length - 1] = end;
    else stretches.push(at, end);
  };
  for (const { at, end, status } of map.blocks()) if (status !== '+') add(at, Math.min(end, size));
  add(map.size, size);
  return { stretches, bytes };
}

/** Bytes for a sentence, exact below 1 MiB. */
function amount(bytes: number): string {
  if (bytes < 1024 || bytes % 512 !== 0) return `${bytes} bytes`;
  return bytes < 1024 * 1024 ? `${bytes / 1024} KiB` : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
