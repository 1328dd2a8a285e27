/** Hosted sparse extents, stream-optimized ones among them: directories and a map. Source: vmdk.md 3 and 11. */
import type { Damage } from '../../../core/damage.ts';
import { INFERRED, weaker } from '../../../core/run.ts';
import { checkGrains, told } from './check.ts';
import { type Directory, MAX_TABLES, readDirectory, tablesOf } from './directory.ts';
import { GrainMap, type Shape } from './grains.ts';
import type { Layer, Place, Wish } from './layer.ts';
import { lostOf } from './lost.ts';
import { BEHIND_TEXT, GRAIN, type Plan, planOf } from './plan.ts';
import { MAX_WALKED, type Walk, walk, withWalk } from './stream.ts';
import { SECTOR } from './structs.ts';
import { UNREADABLE } from './window.ts';

/** Opens an extent; undefined where neither its header nor its tables are to be found. */
export async function openHosted(place: Place, wish: Wish): Promise<Layer | undefined> {
  const block = new Uint8Array(SECTOR);
  await place.source.read(0, block.subarray(0, Math.min(SECTOR, place.source.size)));
  const plan = await planOf(place, block, wish);
  if (plan === undefined) return undefined;
  const built = await build(place, plan, wish);
  if (built === undefined || plan.grain === GRAIN || !(await isDoubtful(built))) return built;
  // A grain size that its tables speak against, where the usual one fits: it is the header that is wrong.
  const damage = plan.damage.filter(({ code }) => code !== 'vmdk.layout' && code !== 'vmdk.directory');
  const effect = 'the usual size is taken, which fits';
  damage.push(place.damage(20, 'vmdk.header', 'a grain size that the tables agree with', `${plan.grain}`, effect));
  const usual = await build(place, { ...plan, grain: GRAIN, most: weaker(plan.most, INFERRED), damage }, wish);
  return usual !== undefined && !(await isDoubtful(usual)) ? usual : built;
}

/** A layer whose map can be asked what speaks against it. */
interface Built extends Layer {
  readonly map: GrainMap;
}

async function isDoubtful({ map, damage }: Built): Promise<boolean> {
  if (damage.some(({ code }) => code === 'vmdk.layout' || code === 'vmdk.directory')) return true;
  const { isUnlikely, shared } = await map.census();
  return isUnlikely || shared > 1;
}

async function build(place: Place, plan: Plan, wish: Wish): Promise<Built | undefined> {
  const { grain, perTable, isCompressed } = plan;
  const damage = [...plan.damage];
  const count = Math.ceil(plan.sectors / (grain * perTable));
  if (count > MAX_TABLES) return undefined;
  const tableSectors = Math.ceil((perTable * 4) / SECTOR);
  const read = (at: number): Promise<Directory> => readDirectory(place, at, count, tableSectors, isCompressed);
  const pair: Directories = {
    main: plan.main > 0 ? await read(plan.main) : undefined,
    spare: plan.spare > 0 ? await read(plan.spare) : undefined,
  };
  sayDirectories(place, plan, pair, damage);
  const walked = isCompressed ? await walkedOf(place, plan, pair, damage) : undefined;
  const { main } = pair;
  const spare = isCompressed ? undefined : pair.spare;
  if (walked === undefined && main === undefined && spare === undefined) return undefined;
  const tables =
    walked === undefined
      ? tablesOf(place, main, spare, perTable)
      : withWalk(main && tablesOf(place, main, undefined, perTable), walked, count, perTable);
  const behind = [main, spare].flatMap((d) => (d === undefined || isCompressed ? [] : [endOf(d, tableSectors)]));
  const first = Math.max(1, ...behind);
  const shape: Shape = {
    what: 'VMDK',
    sectors: plan.sectors,
    grain,
    perTable,
    first,
    origin: plan.origin >= first ? plan.origin : Math.ceil(first / grain) * grain,
    zeroed: plan.zeroed,
    isCompressed,
    copies: (isCompressed ? walked !== undefined : plan.spare > 0) ? 2 : 1,
    inlineTable: 0,
    end: place.source.size / SECTOR,
    base: 0,
    scale: 1,
    byOrder: !isCompressed,
  };
  const map = new GrainMap(place, shape, tables, wish, plan.most);
  damage.push(...(await told(map)));
  return {
    map,
    sectors: plan.sectors,
    mapping: map,
    damage,
    notices: plan.notices,
    details: { extentVersion: plan.version, grainSize: grain * SECTOR, ...(isCompressed && { compressed: true }) },
    check: (signal) => checkGrains(map, damage, signal),
    lost: () => lostOf(map, wish, false),
  };
}

interface Directories {
  main: Directory | undefined;
  readonly spare: Directory | undefined;
}

function sayDirectories(place: Place, plan: Plan, { main, spare }: Directories, damage: Damage[]): void {
  for (const [directory, at, name] of [
    [main, plan.main, 'grain directory'],
    [spare, plan.spare, 'redundant grain directory'],
  ] as const) {
    if (directory === undefined || directory.replaced === 0) continue;
    const effect = 'the tables are looked for where they follow each other';
    const expected = `tables of the ${name} one behind the other`;
    const where = at * SECTOR + directory.firstReplaced * 4;
    damage.push(place.damage(where, 'vmdk.directory', expected, `${directory.replaced} entries elsewhere`, effect));
  }
}

/** Walks a stream where that is cheap or needed; a directory that is broken gives way to the other one, or to none. */
async function walkedOf(place: Place, plan: Plan, pair: Directories, damage: Damage[]): Promise<Walk | undefined> {
  const isBroken = pair.main === undefined || !pair.main.isSure;
  const isSpared = isBroken && pair.spare?.isSure === true;
  if (isBroken) pair.main = isSpared ? pair.spare : undefined;
  if (!isBroken && place.source.size > MAX_WALKED) return undefined;
  const walked = await walk(place, plan.origin || BEHIND_TEXT, plan.grain, plan.sectors);
  sayStrange(place, walked, damage);
  return walked;
}

/** The first sector behind the tables of a directory, as far as they are at the start of the extent. */
function endOf(directory: Directory, tableSectors: number): number {
  let end = 0;
  for (const at of directory.entries)
    if (at !== 0 && at !== UNREADABLE && at + tableSectors > end) end = at + tableSectors;
  return end;
}

function sayStrange(place: Place, walked: Walk, damage: Damage[]): void {
  if (walked.strange === 0) return;
  const effect = 'grains that were there are missing; those around are read by what they say of themselves';
  const actual = `${walked.strange} bytes of something else`;
  damage.push(place.damage(walked.firstStrange, 'vmdk.stream', 'compressed grains and their markers', actual, effect));
}
