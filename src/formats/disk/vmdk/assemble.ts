/** Puts the extents that a descriptor names one behind the other. Source: vmdk.md sections 2, 6 and 7. */
import { type Damage, hex } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { printable } from '../../../core/locator.ts';
import { data, missing, zeros } from '../../../core/map-source.ts';
import { STATED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { type Descriptor, type ExtentLine, SECTOR } from './descriptor.ts';
import { type Kind, kindOf, openExtent, placeOf } from './extent.ts';
import { BELOW, type Layer, type Part, part, ZEROS } from './layer.ts';

/** Types whose extents are plain sectors in a file. */
const FLAT = new Set(['FLAT', 'VMFS']);
const SPARSE = new Set(['SPARSE', 'VMFSSPARSE', 'SESPARSE']);
/** Types that lead to a disk of their own. */
const DEVICE = new Set(['VMFSRDM', 'VMFSRAW']);

export interface Assembled {
  readonly parts: readonly Part[];
  readonly layers: readonly Layer[];
}

/** All extents of a text descriptor, found as files beside it. */
export async function assemble(
  descriptor: Descriptor,
  source: Source,
  isDelta: boolean,
  damage: Damage[],
  cx: Cx,
): Promise<Assembled> {
  for (const { at, line } of descriptor.refused) {
    const effect = 'the disk may be longer than shown, and what follows may be shifted';
    damage.push(cx.damage(at, 'vmdk.extent-line', 'an extent line', `"${printable(line.slice(0, 80))}"`, effect));
  }
  if (descriptor.extents.length === 0) {
    const effect = 'nothing says where the disk lies';
    damage.push(cx.damage(0, 'vmdk.no-extents', 'at least one extent line', 'none', effect));
  }
  const parts: Part[] = [];
  const layers: Layer[] = [];
  const isStream = /^streamoptimized$/i.test(descriptor.values.get('createtype') ?? '');
  for (const line of descriptor.extents) {
    const found = await extent(line, source, { isDelta, isStream }, damage, cx);
    parts.push(...found.parts);
    layers.push(...found.layers);
  }
  return { parts, layers };
}

interface Asked {
  readonly isDelta: boolean;
  readonly isStream: boolean;
}

async function extent(line: ExtentLine, text: Source, asked: Asked, damage: Damage[], cx: Cx): Promise<Assembled> {
  const length = line.sectors * SECTOR;
  const why: Why = { what: `VMDK extent "${printable(line.file)}"`, source: text, at: line.at };
  const only = (...parts: Part[]): Assembled => ({ parts, layers: [] });
  const lost = (code: string, expected: string, actual: string, effect: string): Assembled => {
    damage.push(cx.damage(line.at, code, expected, actual, `its ${line.sectors} sectors are missing${effect}`));
    return only(part(missing(length, { ...why, code })));
  };
  if (line.type === 'ZERO') return only(part(zeros(length, STATED, why)));
  if (!FLAT.has(line.type) && !SPARSE.has(line.type) && !DEVICE.has(line.type)) {
    return lost('vmdk.extent-type', 'a known type of extent', line.type, '');
  }
  const [file] = await cx.siblings({ name: line.file.replace(/^.*\\/, '') });
  if (DEVICE.has(line.type)) {
    const effect = `: they are on the device that "${printable(line.file)}" leads to; read that one in its place`;
    return lost('vmdk.raw-device', 'bytes beside the descriptor', 'a pointer to a raw device', effect);
  }
  if (file === undefined) {
    const effect = '; look for the file or give its directory as a further source';
    return lost('vmdk.extent-missing', `a file "${printable(line.file)}"`, 'none', effect);
  }
  const isSparse = SPARSE.has(line.type);
  const is = isSparse ? (line.type as Kind) : await disguised(file.source, line);
  if (is !== undefined) {
    const hole = asked.isDelta ? BELOW : ZEROS;
    const wish = { hole, most: STATED, sectors: line.sectors, isStream: asked.isStream } as const;
    const layer = await openExtent(placeOf(file, cx), is, wish);
    if (layer === undefined) {
      return lost('vmdk.extent-header', `${file.locator} to be a sparse extent`, 'neither header nor tables', '');
    }
    damage.push(...layer.damage);
    if (layer.sectors !== line.sectors) {
      const expected = `${file.locator} of ${line.sectors} sectors`;
      const effect = 'the descriptor decides where the extents behind it start; what it says is inferred';
      damage.push(cx.damage(line.at, 'vmdk.extent-capacity', expected, `${layer.sectors}`, effect));
    }
    const there = Math.min(layer.sectors, line.sectors) * SECTOR;
    const rest = part(missing(length - there, { ...why, code: 'vmdk.extent-capacity' }));
    return { parts: [{ length: there, mapping: layer.mapping }, rest], layers: [layer] };
  }
  const start = line.offset * SECTOR;
  const there = Math.max(0, Math.min(length, file.source.size - start));
  if (there < length) {
    const effect = `the last ${length - there} bytes of the extent are missing`;
    const expected = `${file.locator} of at least ${hex(start + length)} bytes`;
    damage.push(cx.damage(line.at, 'vmdk.extent-short', expected, hex(file.source.size), effect));
  }
  return only(
    part(data(file.source, start, there, STATED, why)),
    part(missing(length - there, { ...why, code: 'vmdk.extent-short' })),
  );
}

/** A file that has a sparse header and is too small for what a flat line says of it. */
async function disguised(source: Source, line: ExtentLine): Promise<Kind | undefined> {
  const isShort = source.size < (line.offset + line.sectors) * SECTOR;
  return isShort && line.offset === 0 ? kindOf(source) : undefined;
}
