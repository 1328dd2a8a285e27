/** ext2, ext3 and ext4: the file systems of Linux guests. */

import { hex } from '../../../core/damage.ts';
import type { Cx, Format } from '../../../core/format.ts';
import { printable } from '../../../core/locator.ts';
import { type Node, NotThis } from '../../../core/node.ts';
import { uuidText } from '../../disk/guid.ts';
import { readMember } from '../../volume/vmfs-lvm/member.ts';
import { DeletedOf } from './deleted.ts';
import { rootNode } from './files.ts';
import { fromCopy, type Geometry, primary } from './geometry.ts';
import { type Journal, journalOf, replay } from './journal.ts';
import { ORPHANS, orphansNode } from './orphans.ts';
import { overlay } from './overlay.ts';
import {
  COMPAT_JOURNAL,
  INCOMPAT_EXTENTS,
  INCOMPAT_RECOVER,
  STATE_CLEAN,
  STATE_ERRORS,
  SUPER_AT,
  superBlock,
} from './structs.ts';
import { Volume } from './volume.ts';

export const ext: Format = {
  id: 'ext',
  layer: 'filesystem',
  title: 'ext file system',
  spec: 'guestfs.md part B',
  gaps: [
    'Whether two files claim one block is checked where inodes have no checksums, on volumes of up to two million inodes.',
    'A superblock is made up for with a copy of it; a volume without any copy is not opened.',
    'Content of encrypted files is missing; extended attributes are listed by name where the inode holds them.',
    'A journal on another device, and fast commits, are not read; where they matter all of the volume is inferred.',
    'Deleted files come back by inodes that keep their maps and by older inodes in the journal; lost tables of extents are not searched for.',
    'Where the header of a datastore survives beneath it, the datastore is shown; this one is entered with "::ext".',
  ],
  laid: [{ table: superBlock, at: SUPER_AT }],
  async probe(source, { isKnown }) {
    const found = await primary(source);
    // The datastore beneath it, or made over it, is what people come for; it leaves out what this one has taken.
    const isDatastore = found !== undefined && (await readMember(source, '')) !== undefined;
    if (found !== undefined) return isDatastore ? 30 : found.isDoubtful ? 60 : 93;
    // Without its start a volume is known by a copy that agrees with its own place.
    return isKnown !== true && source.size > 2 * SUPER_AT && (await fromCopy(source)) !== undefined ? 35 : 0;
  },
  async open(source, cx) {
    const first = await primary(source);
    const found = first === undefined || first.isDoubtful ? ((await fromCopy(source)) ?? first) : first;
    if (found === undefined) throw new NotThis('no ext superblock at byte 1024, and no copy of one');
    // A copy may be what is left of an older volume, so what it leads to is inferred.
    const doubt = found.superAt !== SUPER_AT ? 'ext.super' : found.isDoubtful ? 'ext.super.checksum' : undefined;
    const volume = new Volume(source, found, cx, doubt);
    if (found.superAt !== SUPER_AT) {
      const effect = `the copy of it at ${hex(found.superAt)} is used, and all of the volume is inferred`;
      volume.damage.push(cx.damage(SUPER_AT, 'ext.super', 'a superblock that can be used', 'none', effect));
    } else if (found.isDoubtful) {
      const effect = 'no copy of it is left, so all of the volume is inferred';
      volume.damage.push(
        cx.damage(SUPER_AT, 'ext.super.checksum', 'a superblock with its checksum', 'another', effect),
      );
    }
    return filesystemNode(await recovered(volume, cx), cx);
  },
};

interface Recovered {
  readonly now: Volume;
  readonly journal: Journal | undefined;
  readonly notice?: string;
}

/** The volume as it would be once its journal was put in place. */
async function recovered(volume: Volume, cx: Cx): Promise<Recovered> {
  const { geometry, source } = volume;
  if ((geometry.super.incompat & INCOMPAT_RECOVER) === 0 || geometry.superAt !== SUPER_AT)
    return { now: volume, journal: await journalOf(volume) };
  const journal = await journalOf(volume);
  const done = journal === undefined ? undefined : await replay(journal);
  const doubt = volume.doubt ?? (done === undefined ? 'ext.journal.lost' : done.doubt);
  const isOverlaid = journal !== undefined && done !== undefined && done.copies.size > 0;
  const whole = isOverlaid ? overlay(source, journal, done.copies) : source;
  const now = new Volume(whole, (isOverlaid ? await primary(whole) : undefined) ?? geometry, cx, doubt);
  now.damage.push(...volume.damage);
  if (doubt !== undefined && doubt !== volume.doubt) {
    const actual =
      done === undefined ? 'none that can be read' : `one that is followed for ${done.transactions} transactions`;
    const effect = 'the last changes are not known, so all of the volume is inferred';
    now.damage.push(cx.damage(SUPER_AT + 0xe0, doubt, 'a journal that can be followed to its end', actual, effect));
  }
  if (done === undefined) return { now, journal };
  const { copies, transactions } = done;
  const blocks = `${copies.size} blocks of ${transactions} transactions`;
  return {
    now,
    journal,
    notice: `It was mounted when this copy was made; ${blocks} are read from its journal, not from their places.`,
  };
}

async function filesystemNode({ now: volume, journal, notice }: Recovered, cx: Cx): Promise<Node> {
  const g = volume.geometry;
  const sb = g.super;
  const version = versionOf(g);
  const root = await rootNode(volume, cx.self, sb.label === '' ? version : sb.label);
  const deleted = new DeletedOf(volume, journal, root.locator);
  let orphans: Promise<Node | undefined> | undefined;
  const child = async (rawName: string): Promise<Node | undefined> => {
    if (rawName === ORPHANS) orphans ??= orphansNode(volume, root.locator);
    return rawName === ORPHANS ? orphans : ((await deleted.node(rawName)) ?? root.child?.(rawName));
  };
  const end = g.blocks * g.blockSize;
  if (end > volume.source.size) {
    const effect = `the last ${end - volume.source.size} bytes of the volume are missing`;
    const expected = `${end} bytes`;
    volume.damage.push(cx.damage(SUPER_AT + 4, 'ext.truncated', expected, String(volume.source.size), effect));
  }
  return {
    ...root,
    // The root's own children come first in listings; these are there for who asks by name.
    child,
    isFree: (at) => volume.groups.isFree(at),
    format: `${version} file system`,
    notices: [...(notice === undefined ? [] : [notice]), ...noticesOf(g)],
    facts: {
      ...root.facts,
      size: Math.min(end, volume.source.size),
      details: {
        version,
        label: printable(sb.label),
        uuid: uuidText(sb.uuid),
        blockSize: g.blockSize,
        blocks: g.blocks,
        inodes: g.inodes,
        inodeSize: g.inodeSize,
        features: featuresOf(g),
        state: stateOf(g),
        lastMounted: printable(sb.lastMounted),
        mounted: sb.mounted,
        written: sb.written,
        created: sb.made,
      },
    },
  };
}

function versionOf({ super: sb }: Geometry): string {
  if ((sb.incompat & INCOMPAT_EXTENTS) !== 0) return 'ext4';
  return (sb.compat & COMPAT_JOURNAL) !== 0 ? 'ext3' : 'ext2';
}

function stateOf({ super: sb }: Geometry): string {
  if ((sb.state & STATE_ERRORS) !== 0) return 'with errors';
  return (sb.state & STATE_CLEAN) !== 0 ? 'clean' : 'not clean';
}

function noticesOf(g: Geometry): string[] {
  const out: string[] = [];
  if ((g.super.state & STATE_ERRORS) !== 0) out.push('The system that used it had marked it as having errors.');
  return out;
}

const NAMES: Readonly<Record<'compat' | 'incompat' | 'roCompat', Readonly<Record<number, string>>>> = {
  compat: { 4: 'has_journal', 8: 'ext_attr', 16: 'resize_inode', 32: 'dir_index', 512: 'sparse_super2' },
  incompat: {
    2: 'filetype',
    4: 'needs_recovery',
    16: 'meta_bg',
    64: 'extent',
    128: '64bit',
    256: 'mmp',
    512: 'flex_bg',
    1024: 'ea_inode',
    8192: 'metadata_csum_seed',
    16384: 'large_dir',
    32768: 'inline_data',
    65536: 'encrypt',
    131072: 'casefold',
  },
  roCompat: {
    1: 'sparse_super',
    2: 'large_file',
    8: 'huge_file',
    16: 'uninit_bg',
    32: 'dir_nlink',
    64: 'extra_isize',
    256: 'quota',
    512: 'bigalloc',
    1024: 'metadata_csum',
    8192: 'project',
    32768: 'verity',
  },
};

function featuresOf({ super: sb }: Geometry): string {
  const out: string[] = [];
  for (const set of ['compat', 'incompat', 'roCompat'] as const) {
    for (const [bit, name] of Object.entries(NAMES[set])) if ((sb[set] & Number(bit)) !== 0) out.push(name);
  }
  return out.join(' ');
}
