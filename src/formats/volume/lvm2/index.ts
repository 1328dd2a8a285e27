/** LVM2: physical volumes make a group, and the group is cut into logical volumes. Source: volumes.md section 5. */

import { type Damage, hex } from '../../../core/damage.ts';
import type { Cx, Format } from '../../../core/format.ts';
import { printable } from '../../../core/locator.ts';
import { type MemberFact, type Node, NotThis } from '../../../core/node.ts';
import { type Certainty, INFERRED, STATED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import type { Group, LogicalSpec } from './group.ts';
import { LogicalVolumes, type PoolFault } from './logical.ts';
import { allTexts, currentText, type Physical, readPhysical, type Text } from './physical.ts';
import { label } from './structs.ts';

export const lvm2: Format = {
  id: 'lvm2',
  layer: 'volume',
  title: 'LVM2 volume group',
  spec: 'volumes.md section 5',
  gaps: [
    'A cached volume is read from its origin, inferred: what its cache holds and was not written back is not looked for.',
    'VDO and integrity volumes, and thin volumes with an origin outside their pool, are named and missing.',
    'RAID volumes that are or were laid out anew (reshaped) are inferred; where legs were last written when a host fell is not looked for.',
    'Removed thin devices come back where a text of the group still names them; space maps of pools are not read.',
  ],
  laid: [0, 1, 2, 3].map((sector) => ({ table: label, at: sector * 512, mark: { at: 0, text: 'LABELONE' } })),
  async probe(source) {
    const physical = await readPhysical(source, '');
    if (physical === undefined) return 0;
    return physical.labelFault === undefined ? 92 : 60;
  },
  async identity(source) {
    const physical = await readPhysical(source, '');
    const text = physical && (await bestText([physical]));
    return text !== undefined && text.group.physical.size > 1 ? `lvm2-${text.group.uuid}` : undefined;
  },
  async open(source, cx) {
    const first = await readPhysical(source, cx.source);
    if (first === undefined) throw new NotThis('no LVM2 label in its first sectors, and no metadata area');
    const text = await bestText([first]);
    if (text === undefined) throw new NotThis('no text in its metadata areas says what the group is');
    const all = await gather(first, text, cx);
    return groupNode(all, (await bestText(all)) ?? text, cx);
  },
};

/** The newest text that the headers of any of them name; else the newest that is still there. */
async function bestText(all: readonly Physical[]): Promise<Text | undefined> {
  let best: Text | undefined;
  for (const physical of all) {
    const text = await currentText(physical);
    if (text !== undefined && text.group.sequence > (best?.group.sequence ?? -1)) best = text;
  }
  if (best !== undefined) return best;
  for (const physical of all) {
    const [text] = await allTexts(physical);
    if (text !== undefined && text.group.sequence > (best?.group.sequence ?? -1)) best = text;
  }
  return best;
}

/** All physical volumes of the group that are there. Copies of one count once. */
async function gather(first: Physical, { group }: Text, cx: Cx): Promise<Physical[]> {
  if (group.physical.size < 2) return [first];
  const out = [first];
  for (const candidate of await cx.siblings({ identity: `lvm2-${group.uuid}` })) {
    const physical = await readPhysical(candidate.source, candidate.locator);
    const isThere = ({ uuid, locator }: Physical): boolean =>
      uuid === undefined ? locator === physical?.locator : uuid === physical?.uuid;
    if (physical === undefined || out.some(isThere)) continue;
    out.push(physical);
  }
  return out;
}

/** Which physical volume of the text each one is. One without its label is the only one of its size. */
function placed(all: readonly Physical[], group: Group): Map<string, Physical> {
  const out = new Map<string, Physical>();
  const specs = [...group.physical.values()];
  // Those that say which one they are come first.
  for (const physical of [...all].sort((a, b) => Number(a.uuid === undefined) - Number(b.uuid === undefined))) {
    const free = physical.uuid === undefined ? specs.filter(({ name }) => !out.has(name)) : [];
    const fit = free.filter(({ size }) => size === physical.source.size);
    const [only] = fit.length === 1 ? fit : free.length === 1 ? free : [];
    const found = specs.find(({ uuid }) => uuid === physical.uuid) ?? only;
    if (found !== undefined && !out.has(found.name)) out.set(found.name, physical);
  }
  return out;
}

async function groupNode(all: readonly Physical[], text: Text, cx: Cx): Promise<Node> {
  const { group } = text;
  const physical = placed(all, group);
  const damage = damageOf(all, physical, text, cx);
  const isDoubtful = !text.isCurrent || all.some(({ labelFault }) => labelFault !== undefined);
  const code = text.isCurrent ? 'lvm2.label' : 'lvm2.metadata';
  const why: Why = {
    what: `LVM2 text ${group.sequence} of "${printable(group.name)}"`,
    source: all[0].source,
    at: text.at,
    ...(isDoubtful && { code }),
  };
  const certainty = isDoubtful ? INFERRED : STATED;
  const shown = [...group.logical.values()].filter((one) => one.isVisible && !isSnapshotSegment(one));
  const volumes = new LogicalVolumes({ group, physical, certainty, why });
  damage.push(...(await volumes.poolFaults()).map((one) => poolDamage(one, cx)));
  const node = (one: LogicalSpec): Node => volumeNode(one, group, volumes, cx);
  const { name } = group;
  return {
    name: printable(name),
    rawName: name,
    locator: cx.self,
    kind: 'volume',
    state: 'live',
    format: lvm2.title,
    facts: { details: detailsOf(text, physical) },
    members: membersOf(group, physical),
    damage,
    async child(rawName) {
      if (rawName === DELETED) return deletedNode(all, text, cx);
      const found = shown.find((one) => one.name === rawName);
      return found && node(found);
    },
    async *children() {
      for (const one of shown) yield node(one);
    },
  };
}

/** A snapshot of the old kind has a volume of its own that only ties its store to its origin. */
function isSnapshotSegment({ segments }: LogicalSpec): boolean {
  return segments.some(({ type }) => type === 'snapshot');
}

const DELETED = '+deleted';

function detailsOf({ group, at }: Text, physical: ReadonlyMap<string, Physical>): Record<string, string | number> {
  return {
    uuid: group.uuid,
    sequence: group.sequence,
    extentBytes: group.extentBytes,
    devices: group.physical.size,
    present: physical.size,
    members: [...physical.values()].map(({ locator }) => locator).join(', '),
    host: printable(group.host),
    written: group.written,
    lastCommand: printable(group.description),
    textAt: at,
  };
}

/** Says what is wrong with a pool, and what not to do about it. */
function poolDamage({ pool, expected, actual }: PoolFault, cx: Cx): Damage {
  const name = printable(pool);
  if (actual === undefined) {
    const effect =
      'its trees are found by what is left of them, and inferred; get out what is needed before lvconvert --repair or lvremove, which write over that';
    return cx.damage(0, 'lvm2.thin-super', `a superblock of the thin pool ${name}`, 'none that makes sense', effect);
  }
  const wanted = `transaction ${expected} in the superblock of ${name}, as the text says`;
  const effect = `nothing is missing here, but LVM does not activate the pool: once all is out, set transaction_id = ${actual} in what vgcfgbackup writes, and give it to vgcfgrestore --force`;
  return cx.damage(0, 'lvm2.thin-transaction', wanted, String(actual), effect);
}

/** The physical volumes that are there, in the order of the text, which also says where they were once. */
function membersOf(group: Group, physical: ReadonlyMap<string, Physical>): MemberFact[] {
  return [...group.physical.values()].flatMap(({ name, device }) => {
    const found = physical.get(name);
    return found === undefined ? [] : [{ locator: found.locator, ...(device !== '' && { device }) }];
  });
}

function damageOf(
  all: readonly Physical[],
  physical: ReadonlyMap<string, Physical>,
  { group, isCurrent }: Text,
  cx: Cx,
): Damage[] {
  const out: Damage[] = [];
  if (!isCurrent) {
    const effect = `text ${group.sequence}, the newest that was found, is used, and all of the group is inferred`;
    out.push(cx.damage(0, 'lvm2.metadata', 'a metadata header that names a text', 'none', effect));
  }
  for (const { labelFault, locator } of all) {
    if (labelFault === undefined) continue;
    const effect = 'which physical volume it is was told from the text, so all of the group is inferred';
    out.push({ ...cx.damage(512, 'lvm2.label', 'an LVM2 label', labelFault, effect), at: `${locator}@512` });
  }
  for (const spec of group.physical.values()) {
    if (physical.has(spec.name)) continue;
    const expected = `physical volume ${spec.uuid} of ${hex(spec.size)} bytes, once at ${printable(spec.device)}`;
    const effect = 'what lies on it is missing; give the disk that holds it as a further source';
    out.push(cx.damage(0, 'lvm2.member-missing', expected, 'no such volume', effect));
  }
  for (const [name, { source, locator }] of physical) {
    const spec = group.physical.get(name)!;
    if (source.size >= spec.size || !Number.isSafeInteger(spec.size)) continue;
    const effect = 'what lay behind its end is missing; look for the rest of the image';
    const damage = cx.damage(source.size, 'lvm2.cut-off', `${spec.size} bytes`, `${source.size} bytes`, effect);
    out.push({ ...damage, at: `${locator}@${source.size}` });
  }
  return out;
}

function volumeNode(
  one: LogicalSpec,
  group: Group,
  volumes: LogicalVolumes,
  cx: Cx,
  state: Node['state'] = 'live',
  sequence?: number,
): Node {
  const types = [...new Set(one.segments.map(({ type }) => type))].join(', ');
  const folder = state === 'live' ? cx.self : `${cx.self}/${DELETED}`;
  const name = sequence === undefined ? one.name : `${one.name}-${sequence}`;
  return {
    name: printable(name),
    rawName: name,
    locator: `${folder}/${name}`,
    kind: 'partition',
    state,
    facts: {
      size: one.extents * group.extentBytes,
      details: { type: types, uuid: one.uuid, segments: one.segments.length },
    },
    damage: [],
    bytes: async (): Promise<Source> => (await volumes.snapshotOf(one)) ?? volumes.source(one),
  };
}

/** Logical volumes that older texts knew and the newest one does not, as they were when they were last written of. */
async function deletedNode(all: readonly Physical[], now: Text, cx: Cx): Promise<Node | undefined> {
  const gone = new Map<string, Node>();
  const certainty: Certainty = INFERRED;
  const live = new Set([...now.group.logical.values()].map(({ uuid }) => uuid));
  for (const one of all) {
    for (const { group, at } of await allTexts(one)) {
      if (group.uuid !== now.group.uuid) continue;
      const why: Why = { what: `LVM2 text ${group.sequence}`, source: one.source, at, code: 'lvm2.older' };
      const volumes = new LogicalVolumes({ group, physical: placed(all, group), certainty, why });
      for (const volume of group.logical.values()) {
        if (!volume.isVisible || live.has(volume.uuid) || gone.has(volume.uuid) || isSnapshotSegment(volume)) continue;
        gone.set(volume.uuid, volumeNode(volume, group, volumes, cx, 'deleted', group.sequence));
      }
    }
  }
  if (gone.size === 0) return undefined;
  const list = [...gone.values()];
  return {
    name: DELETED,
    rawName: DELETED,
    locator: `${cx.self}/${DELETED}`,
    kind: 'directory',
    state: 'deleted',
    facts: {},
    damage: [],
    child: async (rawName) => list.find((node) => node.rawName === rawName),
    async *children() {
      yield* list;
    },
  };
}
