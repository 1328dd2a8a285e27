/** VHD: the disks of Virtual PC and Hyper-V; a footer, and for all but fixed ones a header and a table of blocks. */

import type { Damage } from '../../../core/damage.ts';
import { hex } from '../../../core/damage.ts';
import type { Cx, Format } from '../../../core/format.ts';
import { data, missing, segments } from '../../../core/map-source.ts';
import { type Node, NotThis } from '../../../core/node.ts';
import { type Certainty, INFERRED, STATED } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { guidText, isSet, uuidText } from '../guid.ts';
import { ORDER_GAP } from '../order.ts';
import { openBlocks } from './dynamic.ts';
import { vhdFinder } from './find.ts';
import {
  type Checked,
  dynamicHeader,
  dynamicHeaderOf,
  FIXED,
  type Footer,
  footer,
  footerOf,
  SECTOR,
  sizeOf,
  TYPES,
} from './structs.ts';

export const vhd: Format = {
  id: 'vhd',
  layer: 'disk',
  title: 'VHD disk',
  spec: 'vhd.md',
  gaps: [
    'A fixed disk whose footer is lost is taken as what it is then: plain sectors.',
    ORDER_GAP,
    'Whether a parent was written to after its child was made is not known: the child keeps the time of a file, which evidence does not show.',
  ],
  laid: [
    { table: footer, at: -512, mark: { at: 0, text: 'conectix' } },
    { table: footer, at: 0, mark: { at: 0, text: 'conectix' } },
    { table: dynamicHeader, at: 512, mark: { at: 0, text: 'cxsparse' } },
  ],
  names: ['.vhd', '.avhd'],
  find: vhdFinder,
  async probe(source) {
    const { end, start, header } = await edges(source);
    if (end?.isSound) return 99;
    if (start?.isSound && start.values.type !== FIXED) return 97;
    if (header?.isSound) return 60;
    return end !== undefined ? 55 : 0;
  },
  async open(source, cx) {
    const found = await edges(source);
    const damage: Damage[] = [];
    const chosen = choose(found, source, damage, cx);
    if (chosen === undefined && found.header === undefined) throw new NotThis('no VHD footer and no header');
    if (chosen?.footer.values.type === FIXED) return fixedNode(source, chosen, damage, cx);
    const most: Certainty = chosen?.isSure ? STATED : INFERRED;
    const blocks = await openBlocks(source, chosen?.footer, found.header, most, damage, cx);
    const { backing, map, details, check } = blocks;
    return { ...shown(chosen?.footer.values, map, damage, cx, details), check, ...(backing && { backing }) };
  },
};

/** What stands at both ends of the file. */
interface Edges {
  /** The footer that is to be at the end, also where the file is a byte short of it, as old hosts made them. */
  readonly end?: Checked<Footer>;
  /** Its copy at the start. */
  readonly start?: Checked<Footer>;
  /** The dynamic header at its usual place. */
  readonly header?: ReturnType<typeof dynamicHeaderOf>;
}

interface Chosen {
  readonly footer: Checked<Footer>;
  readonly isSure: boolean;
}

async function edges(source: Source): Promise<Edges> {
  if (source.size < SECTOR) return {};
  const tail = new Uint8Array(SECTOR);
  const tailAt = source.size - SECTOR;
  await source.read(tailAt, tail);
  const head = new Uint8Array(Math.min(source.size, SECTOR + dynamicHeader.size));
  await source.read(0, head);
  const end = footerOf(tail, tailAt) ?? footerOf(tail.subarray(1), tailAt + 1);
  const start = footerOf(head.subarray(0, SECTOR), 0);
  const header = dynamicHeaderOf(head.subarray(SECTOR), SECTOR);
  return { ...(end && { end }), ...(start && start.at !== end?.at && { start }), ...(header && { header }) };
}

/** The footer that is to be believed, with damage where one is gone, broken, or they do not agree. */
function choose({ end, start, header }: Edges, source: Source, damage: Damage[], cx: Cx): Chosen | undefined {
  const tailAt = Math.max(0, source.size - SECTOR);
  const note = (at: number, code: string, expected: string, actual: string, effect: string): void => {
    damage.push(cx.damage(at, `vhd.${code}`, expected, actual, effect));
  };
  const isDynamic = start !== undefined || header !== undefined;
  if (end?.isSound) {
    if (end.values.type === FIXED && !isDynamic) return { footer: end, isSure: true };
    if (!start?.isSound)
      note(
        0,
        'footer-copy',
        'a copy of the footer',
        start ? 'one that fails its checksum' : 'none',
        'nothing is lost: the footer is used',
      );
    else if (!isSame(start.raw, end.raw)) {
      note(
        0,
        'footer-differs',
        `the footer at ${hex(end.at)} again`,
        'another one',
        'the footer is used; the disk is inferred',
      );
      return { footer: end, isSure: false };
    }
    return { footer: end, isSure: true };
  }
  const state = end === undefined ? 'none' : 'one that fails its checksum';
  if (start?.isSound) {
    note(
      tailAt,
      'footer',
      'a footer',
      state,
      'its copy at the start is used; the file may have been cut off, or a block was being appended',
    );
    return { footer: start, isSure: true };
  }
  const broken = end ?? start;
  note(tailAt, 'footer', 'a footer', state, 'its copy is no better: the disk is inferred from what else there is');
  return broken === undefined ? undefined : { footer: broken, isSure: false };
}

/** Whether two footers say the same. The saved state and what follows it are of no concern. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < 84; i++) if (a[i] !== b[i] && (i < 64 || i >= 68)) return false;
  return true;
}

async function fixedNode(source: Source, { footer, isSure }: Chosen, damage: Damage[], cx: Cx): Promise<Node> {
  const stated = sizeOf(footer.values);
  const room = footer.at;
  const size = isSure ? stated : Math.min(stated, room);
  const certainty = isSure && stated <= room ? STATED : INFERRED;
  const why = { what: 'VHD footer', source, at: footer.at, ...(certainty !== STATED && { code: 'vhd.footer' }) };
  const there = Math.min(size, room);
  if (stated > room) {
    const effect = `the last ${stated - there} bytes are missing; what is there may be shifted`;
    damage.push(
      cx.damage(footer.at + 48, 'vhd.truncated', `${hex(stated)} bytes before the footer`, hex(room), effect),
    );
  }
  const lost = missing(size - there, { what: 'VHD footer', source, at: footer.at, code: 'vhd.truncated' });
  const map = segments([data(source, 0, there, certainty, why), lost].filter((one) => one.length > 0));
  return shown(footer.values, map, damage, cx, {});
}

function shown(
  values: Footer | undefined,
  map: Source,
  damage: readonly Damage[],
  cx: Cx,
  details: Readonly<Record<string, string | number>>,
): Node {
  const id = values?.uniqueId;
  const isNamed = id !== undefined && isSet(id);
  return {
    name: 'vhd',
    rawName: 'vhd',
    locator: cx.self,
    kind: 'disk',
    state: 'live',
    format: vhd.title,
    facts: {
      size: map.size,
      details: {
        type: TYPES[values?.type ?? 0] ?? 'unknown',
        ...(values !== undefined && {
          creator: Buffer.from(values.creator)
            .toString('latin1')
            .replace(/[^ -~]/g, '.'),
        }),
        ...(isNamed && { uniqueId: uuidText(id) }),
        ...details,
      },
    },
    damage,
    // Hosts do not agree on the order of its bytes when others name it.
    ...(isNamed && { identities: [`uuid:${uuidText(id)}`, `uuid:${guidText(id)}`] }),
    bytes: async () => map,
  };
}
