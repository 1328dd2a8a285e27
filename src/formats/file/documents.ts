/** Documents and mail: PDF, the compound files of Office, RTF, Outlook stores, mail as text. Source: carving.md section 1. */
import { type Carved, type Carver, type Content, cut, whole } from '../../core/carver.ts';
import { readU64, viewOf } from '../../core/struct.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const text = (offset: number, ascii: string) => ({ offset, bytes: [...Buffer.from(ascii, 'latin1')] });
const hexKey = (offset: number, hex: string) => ({ offset, bytes: [...Buffer.from(hex, 'hex')] });

const EOF = [...Buffer.from('%%EOF')];
const HEAD = [...Buffer.from('%PDF-')];
/** A revision that was added to a PDF begins near the end of the one before. */
const MAX_REVISIONS = 1000;

export const pdf: Carver = {
  extension: 'pdf',
  title: 'PDF document',
  keys: [text(0, '%PDF-1.'), text(0, '%PDF-2.')],
  most: 2 * GIB,
  async examine(file) {
    let best: number | undefined;
    let last = 5;
    const next = await file.find(HEAD, 5, Math.min(file.size, 512 * MIB));
    const limit = next < 0 ? Math.min(file.size, 512 * MIB) : next;
    let at = await file.find(EOF, 5, limit);
    for (let n = 0; at >= 0 && n < MAX_REVISIONS; n++) {
      const end = await lineEnd(file, at + 5);
      last = end;
      if (await isLinked(file, at)) best = end;
      // What belongs to it goes on with another part of it, not with something else.
      else if (best !== undefined) break;
      at = await file.find(EOF, end, limit);
    }
    return best === undefined ? (last > 5 ? cut(last) : undefined) : whole(best);
  },
};

async function lineEnd(file: Content, from: number): Promise<number> {
  const two = await file.text(from, 2);
  if (two === '\r\n') return from + 2;
  const one = await file.text(from, 1);
  return one === '\n' || one === '\r' ? from + 1 : from;
}

/** Whether the table that an end names stands where it says, and leads to objects: so nothing was put in between. */
async function isLinked(file: Content, end: number): Promise<boolean> {
  const from = Math.max(0, end - 64);
  const place = /startxref\s+(\d{1,12})\s*$/.exec(await file.text(from, end - from))?.[1];
  if (place === undefined) return false;
  const at = Number(place);
  if (at === 0) return true; // the first part of a linearized file
  const head = await file.text(at, Math.min(4096, file.size - at));
  if (/^\s*\d+\s+\d+\s+obj\b/.test(head)) return true;
  const rows = /^\s*xref\s+(\d+)\s+(\d+)\s+/.exec(head);
  if (rows === null) return false;
  const entries = [...head.matchAll(/(\d{10}) (\d{5}) n/g)].slice(0, 16);
  for (const [, offset, generation] of entries) {
    const object = await file.text(Number(offset), 24);
    if (!new RegExp(`^\\s*\\d+\\s+${Number(generation)}\\s+obj\\b`).test(object)) return false;
  }
  return true;
}

const FREE = 0xffffffff;
const FAT_SECTOR = 0xfffffffd;
const DIFAT_SECTOR = 0xfffffffc;
const CHAIN_END = 0xfffffffe;
const MAX_FAT_SECTORS = 65_536;

export const compound: Carver = {
  extension: 'ole',
  title: 'compound file',
  keys: [hexKey(0, 'd0cf11e0a1b11ae1')],
  most: 4 * GIB,
  async examine(file) {
    const [shift, order] = [await file.number(30, 2), await file.number(28, 2)];
    if ((shift !== 9 && shift !== 12) || order !== 0xfffe) return undefined;
    const unit = 2 ** shift;
    const fats = await fatSectors(file, unit);
    if (fats === undefined) return undefined;
    const perSector = unit / 4;
    let used = -1;
    const directory = await file.number(48, 4);
    for (const [i, sector] of fats.entries()) {
      const table = await file.bytes((sector + 1) * unit, unit);
      if (table === undefined) return cut(Math.min(file.size, unit));
      const view = viewOf(table);
      for (let j = 0; j < perSector; j++) {
        const value = view.getUint32(j * 4, true);
        const number = i * perSector + j;
        if (value === FREE) continue;
        if (value > 0xfffffffa ? value < DIFAT_SECTOR : value >= fats.length * perSector) return cut((used + 2) * unit);
        used = number;
        // Each sector of the table is marked as one in the table itself.
        if ((value === FAT_SECTOR) !== fats.includes(number)) return cut(Math.min(file.size, (number + 1) * unit));
      }
    }
    const end = (used + 2) * unit;
    const root = Buffer.from(await file.text((directory + 1) * unit, 20), 'latin1').toString('utf16le');
    if (used < 0 || root !== 'Root Entry') return undefined;
    const extension = await officeKind(file, directory, unit, fats);
    return end <= file.size ? whole(end, { extension }) : cut(Math.min(file.size, unit), { extension });
  },
};

/** Sectors of the allocation table: the first ones stand in the header, further ones in sectors of their own. */
async function fatSectors(file: Content, unit: number): Promise<number[] | undefined> {
  const count = await file.number(44, 4);
  if (!(count >= 1 && count <= MAX_FAT_SECTORS)) return undefined;
  const out: number[] = [];
  for (let i = 0; i < Math.min(count, 109); i++) out.push(await file.number(76 + i * 4, 4));
  let next = await file.number(68, 4);
  for (let guard = 0; out.length < count && next < DIFAT_SECTOR && guard < MAX_FAT_SECTORS; guard++) {
    const base = (next + 1) * unit;
    for (let i = 0; i < unit / 4 - 1 && out.length < count; i++) out.push(await file.number(base + i * 4, 4));
    next = await file.number(base + unit - 4, 4);
  }
  return out.length === count && out.every((sector) => sector < DIFAT_SECTOR) ? out : undefined;
}

const STREAMS: readonly (readonly [string, string])[] = [
  ['WordDocument', 'doc'],
  ['Workbook', 'xls'],
  ['Book', 'xls'],
  ['PowerPoint Document', 'ppt'],
  ['__properties_version1.0', 'msg'],
  ['VisioDocument', 'vsd'],
  ['Catalog', 'db'],
];

/** The class of the root of a package of Windows Installer. */
const INSTALLER: string = Buffer.from('84100c0000000000c000000000000046', 'hex').toString('latin1');

async function officeKind(file: Content, directory: number, unit: number, fats: readonly number[]): Promise<string> {
  if ((await file.text((directory + 1) * unit + 80, 16)) === INSTALLER) return 'msi';
  let sector = directory;
  for (let n = 0; n < 64 && sector < CHAIN_END; n++) {
    for (let at = 0; at < unit; at += 128) {
      const place = (sector + 1) * unit + at;
      const length = await file.number(place + 64, 2);
      const name = (await file.text(place, Math.max(0, Math.min(64, length - 2)))).replaceAll('\0', '');
      const kind = STREAMS.find(([stream]) => stream === name)?.[1];
      if (kind !== undefined) return kind;
    }
    const fat = fats[Math.floor((sector * 4) / unit)];
    sector = fat === undefined ? CHAIN_END : await file.number((fat + 1) * unit + ((sector * 4) % unit), 4);
  }
  return 'ole';
}

export const rtf: Carver = {
  extension: 'rtf',
  title: 'RTF document',
  keys: [text(0, '{\\rtf1')],
  most: 256 * MIB,
  async examine(file) {
    let depth = 0;
    for (let at = 0; at < file.size; at += 65_536) {
      const part = await file.bytes(at, Math.min(65_536, file.size - at));
      if (part === undefined) return cut(at);
      for (let i = 0; i < part.length; i++) {
        const byte = part[i];
        if (byte === 0x5c) i++;
        else if (byte === 0x7b) depth++;
        else if (byte === 0x7d && --depth === 0) return whole(at + i + 1);
        else if (byte === 0 || byte === 0x7f) return cut(at + i);
      }
    }
    return cut(file.size);
  },
};

export const pst: Carver = {
  extension: 'pst',
  title: 'Outlook store',
  keys: [text(0, '!BDN')],
  most: 100 * GIB,
  async examine(file) {
    const [client, version] = [await file.text(8, 2), await file.number(10, 2)];
    if (client !== 'SM' || ![14, 15, 23, 36].includes(version)) return undefined;
    const head = await file.bytes(0, 0xc0);
    if (head === undefined) return undefined;
    const size = version >= 23 ? readU64(viewOf(head), 0xb8) : viewOf(head).getUint32(0xa8, true);
    if (!(size > 0x4600)) return undefined;
    if (size > file.size) return cut(0x4400);
    // Maps of what is in use stand at fixed distances, and say so.
    for (let at = 0x4400; at + 512 <= size; at += 253_952)
      if ((await file.number(at + (version === 36 ? 0 : 496), 2)) === 0 && (await file.number(at + 496, 2)) !== 0x8484)
        return cut(at);
    return whole(size);
  },
};

const MAIL = /^(Received|Return-Path|From|MIME-Version|Message-ID|Delivered-To|X-[A-Za-z-]+|Date|Subject|To):/i;

export const eml: Carver = {
  extension: 'eml',
  title: 'mail',
  keys: [
    text(0, 'Received: '),
    text(0, 'Return-Path: '),
    text(0, 'Delivered-To: '),
    text(0, 'MIME-Version: '),
    text(0, 'Message-ID: '),
  ],
  most: 128 * MIB,
  async examine(file) {
    const end = await textEnd(file);
    const head = (await file.text(0, Math.min(end, 16_384))).split(/\r?\n\r?\n/)[0];
    const lines = head.split(/\r?\n/);
    const fields = lines.filter((line) => MAIL.test(line)).length;
    if (fields < 4 || !lines.every((line) => line === '' || /^([!-9;-~]+:|[ \t])/.test(line))) return undefined;
    const boundary = /boundary="?([^"\s;]{1,70})"?/i.exec(head)?.[1];
    const subject = /^Subject: *(.{1,120})/im.exec(head)?.[1] ?? '';
    if (boundary === undefined) return cut(end, { facts: { subject } });
    const close = await file.find([...Buffer.from(`--${boundary}--`, 'latin1')], head.length, end);
    if (close < 0) return cut(end, { facts: { subject } });
    return whole(await lineEnd(file, close + boundary.length + 4), { facts: { subject } });
  },
};

/** Where plain text ends. */
async function textEnd(file: Content): Promise<number> {
  for (let at = 0; at < file.size; at += 65_536) {
    const part = await file.bytes(at, Math.min(65_536, file.size - at));
    if (part === undefined) return at;
    const stop = part.findIndex((byte) => byte < 9 || (byte > 13 && byte < 32 && byte !== 27) || byte === 0x7f);
    if (stop >= 0) return at + stop;
  }
  return file.size;
}

/** Texts that end with a mark of their own. */
function marked(extension: string, title: string, starts: readonly string[], end: string): Carver {
  return {
    extension,
    title,
    keys: starts.map((start) => text(0, start)),
    most: 64 * MIB,
    async examine(file): Promise<Carved | undefined> {
      const stop = await textEnd(file);
      let last = -1;
      const mark = [...Buffer.from(end, 'latin1')];
      for (let at = await file.find(mark, 0, stop); at >= 0; at = await file.find(mark, at + 1, stop)) {
        last = at + end.length;
        if (extension === 'html') break;
      }
      return last < 0 ? cut(stop) : whole(await lineEnd(file, last));
    },
  };
}

export const html: Carver = marked(
  'html',
  'HTML page',
  ['<!DOCTYPE html', '<!doctype html', '<html', '<HTML'],
  '</html>',
);
export const svg: Carver = marked('svg', 'SVG drawing', ['<svg '], '</svg>');
export const postscript: Carver = marked('ps', 'PostScript document', ['%!PS-Adobe'], '%%EOF');
export const pem: Carver = marked('pem', 'certificate or key', ['-----BEGIN '], '-----\n');
