/** .vmx: the configuration that makes files a virtual machine. Source: vmconfig.md section 1. */
import { type KeyValues, parseKeyValues, repeatedKeys } from '../../codec/keyvalue.ts';
import { encodingOf, inUnicode } from '../../codec/text-encoding.ts';
import { type Damage, hex } from '../../core/damage.ts';
import type { Cx, Format } from '../../core/format.ts';
import { printable } from '../../core/locator.ts';
import { guessed, type MachineModel, type Snapshot } from '../../core/machine.ts';
import { NotThis } from '../../core/node.ts';
import { STATED } from '../../core/run.ts';
import { readText, unreadOf } from '../text.ts';
import { narrowed, untangle } from '../untangle.ts';
import { mender } from './mend.ts';
import { machineNode, ownName } from './node.ts';
import { isMachine } from './sources.ts';
import { vmsdSnapshots, vmwareModel } from './vmware.ts';
import { rawOf } from './xml.ts';

const MOST = 1024 * 1024;
/** Keys that are named of those that stand there more than once. */
const NAMED = 4;

export const vmx: Format = {
  id: 'vmx',
  layer: 'machine',
  title: 'VMware machine configuration',
  spec: 'vmconfig.md section 1',
  gaps: [
    'Lists of snapshots (.vmsd) are read, and not made anew.',
    'Of an encrypted machine only what stands outside of its encryption is read.',
  ],
  names: ['.vmx', '.vmtx'],
  mender,
  async probe(source) {
    if (source.size === 0 || source.size > MOST) return 0;
    const values = parseKeyValues(narrowed((await readText(source, MOST)).raw));
    return isKnown(values) ? 90 : 0;
  },
  async open(source, cx) {
    const text = await readText(source, MOST);
    const { text: plain, faults } = untangle(text.raw, (one) => isKnown(parseKeyValues(one)));
    const values = parseKeyValues(plain);
    if (!isKnown(values)) throw new NotThis('no config.version, guestOS or virtualHW.version in it');
    const effect = 'settings that stood there are not known';
    const snapshots = await snapshotsBeside(cx);
    const model = isEncrypted(values)
      ? outside(vmwareModel(values, snapshots.list))
      : vmwareModel(values, snapshots.list);
    const raw = rawOf(inUnicode(values.get('displayname') ?? '', encodingOf(values.get('.encoding'))));
    const damage = text.gaps.map((gap) => cx.damage(gap.offset, 'vmx.unreadable', 'readable text', gap.code, effect));
    if (text.cut)
      damage.push(cx.damage(MOST, 'vmx.unreadable', `at most ${hex(MOST)} bytes`, hex(source.size), effect));
    // Where bytes are missing, zeros stand in their place, and that is said already.
    if (text.gaps.length === 0 && !text.cut)
      for (const fault of faults) damage.push(cx.damage(0, 'vmx.text', 'a text that is whole and plain', fault, TORN));
    const twice = repeatedKeys(plain);
    const contradicts = [...twice.values()].some((all) => new Set(all).size > 1);
    return {
      ...machineNode(
        cx,
        vmx.title,
        source.size,
        [model],
        [...damage, ...snapshots.damage],
        damage.length > 0 || contradicts,
      ),
      name: printable(raw),
      rawName: raw,
      notices: [...repeated(twice), ...(isEncrypted(values) ? [ENCRYPTED] : [])],
    };
  },
};

const ENCRYPTED =
  'the machine is encrypted: its settings and disks need its password or its key server; what is shown stands outside';

/** What defaults would say of an encrypted machine is not known: the words stand inside of its encryption. */
function outside(model: MachineModel): MachineModel {
  const { processors, memory, firmware, ...rest } = model;
  return {
    ...rest,
    ...(processors !== undefined && processors.certainty >= STATED && { processors }),
    ...(memory !== undefined && memory.certainty >= STATED && { memory }),
    firmware: firmware.certainty >= STATED ? firmware : guessed('bios', 'nothing outside of its encryption says it'),
  };
}

const TORN = 'settings may be lacking; what could be read was read';

function isKnown(values: KeyValues): boolean {
  return isMachine(values) || isEncrypted(values);
}

function isEncrypted(values: KeyValues): boolean {
  return values.has('encryption.keysafe') || values.has('encryption.data');
}

/** Keys that stand there twice, of which the last one was taken. */
function repeated(twice: ReadonlyMap<string, readonly string[]>): string[] {
  return [...twice].slice(0, NAMED).map(([key, values]) => {
    const same = new Set(values).size === 1 ? 'with the same value' : `with ${new Set(values).size} values`;
    return `${printable(key)} stands there ${values.length} times, ${same}; the last one was taken, and VMware may refuse the file until the others are removed`;
  });
}

interface Snapshots {
  readonly list: readonly Snapshot[];
  readonly damage: readonly Damage[];
}

/** The list of snapshots that lies beside the configuration under its name. */
async function snapshotsBeside(cx: Cx): Promise<Snapshots> {
  const own = ownName(cx);
  const [found] = /\.vm[tx]x?$/i.test(own) ? await cx.siblings({ name: own.replace(/\.[^.]*$/, '.vmsd') }) : [];
  if (found === undefined) return { list: [], damage: [] };
  const text = await readText(found.source, MOST);
  const { text: plain, faults } = untangle(text.raw, (one) => /^snapshot/m.test(one));
  const unread = unreadOf(text) ?? (text.raw.length === 0 ? undefined : faults[0]);
  const damage =
    unread === undefined ? [] : [cx.damage(0, 'vmx.snapshots', 'all of the .vmsd beside it', unread, FEWER)];
  return { list: vmsdSnapshots(parseKeyValues(plain)), damage };
}

const FEWER = 'snapshots that stood there are not known';
