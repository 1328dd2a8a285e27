/** Which kernel and initramfs a Linux starts with, by the menu of its boot loader. Source: the Boot Loader Specification. */
import { printable } from '../../core/locator.ts';
import type { Node } from '../../core/node.ts';
import type { Stack } from '../stack.ts';
import { namesAt, pathNode, textAt } from './files.ts';

/** What the loader starts where nobody chooses. */
export interface BootEntry {
  /** Paths as the entry has them: of the kernel, and of what is loaded with it. */
  readonly kernel: string;
  readonly initrds: readonly string[];
  /** What says so. */
  readonly from: string;
}

interface Item extends BootEntry {
  /** Names that a choice may be kept under. */
  readonly names: readonly string[];
  /** Its place in the menu itself; undefined inside of others. */
  readonly place?: number;
}

const ENTRIES = ['boot/loader/entries', 'loader/entries'];
const MENUS = ['boot/grub2/grub.cfg', 'grub2/grub.cfg', 'boot/grub/grub.cfg', 'grub/grub.cfg', '@/boot/grub2/grub.cfg'];
/** Those of the first GRUB, and of systems of before 2010 or so. */
const LEGACY = ['boot/grub/menu.lst', 'grub/menu.lst', 'boot/grub/grub.conf', 'grub/grub.conf'];
const OTHERS = ['boot/extlinux.conf', 'extlinux.conf', 'boot/extlinux/extlinux.conf', 'extlinux/extlinux.conf'];
const KEPT = ['boot/grub2/grubenv', 'grub2/grubenv', 'boot/grub/grubenv', 'grub/grubenv', '@/boot/grub2/grubenv'];
/** What a loader that is none of GRUB was told, beside its entries. */
const LOADER = ['loader/loader.conf', 'boot/loader/loader.conf'];
const MAX_ENTRIES = 256;
/** File systems whose menus are looked at. */
const MAX_PLACES = 16;
/** Folders on an EFI partition that are looked into. */
const MAX_VENDORS = 32;

/** The entry that is started, where a menu says that; `roots`: the system's own file system first. */
export async function bootEntry(stack: Stack, roots: readonly Node[]): Promise<BootEntry | undefined> {
  const places = roots.slice(0, MAX_PLACES);
  const kept = await keptIn(stack, places);
  for (const root of places)
    for (const folder of ENTRIES) {
      const found = chosenOf(await entriesIn(stack, root, folder), kept);
      if (found !== undefined) return found;
    }
  for (const root of places)
    for (const path of [...MENUS, ...(await ofVendors(stack, root, 'grub.cfg'))]) {
      const text = await textAt(stack, root, path);
      const found = text === undefined ? undefined : chosenIn(text, kept, `${path} of ${root.locator}`);
      if (found !== undefined) return found;
    }
  for (const root of places)
    for (const path of [...LEGACY, ...(await ofVendors(stack, root, 'grub.conf'))]) {
      const text = await textAt(stack, root, path);
      const found = text === undefined ? undefined : legacyOf(text, `${path} of ${root.locator}`);
      if (found !== undefined) return found;
    }
  for (const root of places)
    for (const path of OTHERS) {
      const text = await textAt(stack, root, path);
      const found = text === undefined ? undefined : linuxOf(text, `${path} of ${root.locator}`);
      if (found !== undefined) return found;
    }
  return undefined;
}

/** What the loader was told to start: of GRUB in the block that it keeps settings in. */
async function keptIn(stack: Stack, roots: readonly Node[]): Promise<string | undefined> {
  for (const root of roots)
    for (const path of [...KEPT, ...(await ofVendors(stack, root, 'grubenv'))]) {
      const saved = /^saved_entry=(.+)$/m.exec((await textAt(stack, root, path)) ?? '')?.[1];
      if (saved !== undefined) return saved.trim();
    }
  for (const root of roots)
    for (const path of LOADER) {
      const wanted = /^default\s+(\S+)/m.exec((await textAt(stack, root, path)) ?? '')?.[1];
      if (wanted !== undefined) return wanted.replace(/\.conf$/, '');
    }
  return undefined;
}

/** Where distributions keep a file of GRUB on an EFI partition: RHEL 7 and 8 all of its menu. */
async function ofVendors(stack: Stack, root: Node, file: string): Promise<string[]> {
  const names = await namesAt(stack, root, 'EFI');
  return names.slice(0, MAX_VENDORS).map((name) => `EFI/${name}/${file}`);
}

/** Entries of one folder, a file each, the newest first as loaders list them. */
async function entriesIn(stack: Stack, root: Node, folder: string): Promise<Item[]> {
  const names = (await namesAt(stack, root, folder)).filter((name) => name.endsWith('.conf'));
  const out: Item[] = [];
  for (const name of names.sort(newestFirst).slice(0, MAX_ENTRIES)) {
    const text = (await textAt(stack, root, `${folder}/${name}`)) ?? '';
    const kernel = /^linux(?:efi)?\s+(\S+)/m.exec(text)?.[1];
    if (kernel === undefined) continue;
    const initrds = [...text.matchAll(/^initrd\s+(.+)$/gm)].flatMap(([, paths]) => pathsIn(paths));
    const title = /^title\s+(.+)$/m.exec(text)?.[1].trim();
    const own = name.slice(0, -'.conf'.length);
    const from = `${folder}/${printable(name)} of ${root.locator}`;
    const called = title === undefined ? [own] : [own, title];
    out.push({ names: called, kernel, initrds, from, place: out.length });
  }
  return out;
}

/** Rescue entries come last, whatever they are called. */
function newestFirst(a: string, b: string): number {
  const isRescue = (name: string): boolean => /-0-rescue/.test(name);
  return Number(isRescue(a)) - Number(isRescue(b)) || b.localeCompare(a, 'en', { numeric: true });
}

function chosenOf(items: readonly Item[], kept: string | undefined): BootEntry | undefined {
  const last = kept?.split('>').pop();
  const isMeant = (name: string): boolean =>
    name === last || (last?.endsWith('*') === true && name.startsWith(last.slice(0, -1)));
  const named = items.find(({ names }) => names.some(isMeant));
  const numbered = /^\d{1,3}$/.test(kept ?? '') ? items.find(({ place }) => place === Number(kept)) : undefined;
  return named ?? numbered ?? items[0];
}

const ITEM = /^\s*(menuentry|submenu)\s+(?:'([^']*)'|"([^"]*)")/;
const OWN_NAME = /(?:menuentry_id_option|--id)\s+['"]([^'"]+)['"]/;

/** The entry of a menu of GRUB that it starts by itself. */
function chosenIn(text: string, kept: string | undefined, from: string): BootEntry | undefined {
  const items = itemsOf(text, from);
  const said = [...text.matchAll(/^[ \t]*set default="([^"\n]*)"/gm)].map(([, value]) => value);
  const isKept = said.some((value) => value.includes('saved_entry'));
  const plain = said.find((value) => value !== '' && !value.includes('$'));
  return chosenOf(items, isKept ? (kept ?? plain) : plain);
}

function itemsOf(text: string, from: string): Item[] {
  const out: { names: string[]; kernel: string; initrds: string[]; place?: number }[] = [];
  let level = 0;
  let place = 0;
  let inside: (typeof out)[number] | undefined;
  for (const line of text.split('\n')) {
    const [, kind, single, double] = ITEM.exec(line) ?? [];
    if (kind !== undefined) {
      const own = OWN_NAME.exec(line)?.[1];
      const names = [single ?? double, ...(own === undefined ? [] : [own])];
      const isTop = level === 0;
      inside = { names, kernel: '', initrds: [], ...(isTop && kind === 'menuentry' && { place }) };
      if (isTop) place++;
      if (kind === 'menuentry' && out.length < MAX_ENTRIES) out.push(inside);
    }
    const [, command, rest] = /^\s*(linux|initrd)(?:efi|16)?\s+(.+)$/.exec(line) ?? [];
    if (command === 'linux' && inside?.kernel === '') inside.kernel = pathsIn(rest)[0] ?? '';
    if (command === 'initrd' && inside !== undefined) inside.initrds.push(...pathsIn(rest));
    if (/\{\s*$/.test(line)) level++;
    if (/^\s*\}\s*$/.test(line)) level = Math.max(0, level - 1);
  }
  return out.filter(({ kernel }) => kernel !== '').map((item) => ({ ...item, from }));
}

/** The entry that the first GRUB starts: by its number. */
function legacyOf(text: string, from: string): BootEntry | undefined {
  const number = /^[ \t]*default[ \t]*[= \t][ \t]*(\d{1,3})/m.exec(text)?.[1];
  const items = text.split(/^[ \t]*title[ \t]+/m).slice(1, MAX_ENTRIES);
  const item = items[Number(number ?? 0)] ?? items[0] ?? '';
  const [kernel] = pathsIn(/^[ \t]*kernel[ \t]+(.+)$/m.exec(item)?.[1] ?? '');
  if (kernel === undefined) return undefined;
  return { kernel, initrds: pathsIn(/^[ \t]*initrd[ \t]+(.+)$/m.exec(item)?.[1] ?? ''), from };
}

/** The first entry of a menu of extlinux, or the one that it is told to start. */
function linuxOf(text: string, from: string): BootEntry | undefined {
  const wanted = /^[ \t]*DEFAULT\s+(\S+)/im.exec(text)?.[1];
  const items = text.split(/^[ \t]*LABEL\s+/im).slice(1, MAX_ENTRIES);
  const chosen = items.find((item) => item.split(/\s/, 1)[0] === wanted) ?? items[0];
  const kernel = /^[ \t]*(?:KERNEL|LINUX)\s+(\S+)/im.exec(chosen ?? '')?.[1];
  if (chosen === undefined || kernel === undefined) return undefined;
  const initrds = (/^[ \t]*INITRD\s+(\S+)/im.exec(chosen)?.[1] ?? '').split(',').filter((path) => path !== '');
  return { kernel, initrds, from };
}

/** Paths in a line, without what a loader puts in front of them, and without what it sets itself. */
function pathsIn(text: string): string[] {
  return text
    .trim()
    .split(/\s+/)
    .map((word) => word.replace(/^\([^)]*\)/, ''))
    .filter((word) => word.startsWith('/'));
}

/** A file that an entry names: its paths begin at any of the file systems, or at the folder that one is mounted at. */
export async function fileOfEntry(stack: Stack, roots: readonly Node[], path: string): Promise<Node | undefined> {
  for (const root of roots.slice(0, MAX_PLACES)) {
    const own = await pathNode(stack, root, path);
    if (own?.kind === 'file') return own;
  }
  const inBoot = roots[0] === undefined ? undefined : await pathNode(stack, roots[0], `boot/${path}`);
  return inBoot?.kind === 'file' ? inBoot : undefined;
}
