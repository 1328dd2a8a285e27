/** OVF: the description of an appliance, alone or in an OVA. Source: vmconfig.md section 4. */
import type { Damage } from '../../core/damage.ts';
import type { Cx, Format } from '../../core/format.ts';
import { MAX_CHAIN } from '../../core/limits.ts';
import { MAX_DISKS, type MachineModel } from '../../core/machine.ts';
import { readText, unreadOf } from '../text.ts';
import { checkMembers, type Listed, ownHash, parseManifest } from './manifest.ts';
import { machineNode, ownName } from './node.ts';
import { type Medium, systemModel } from './ovf-system.ts';
import { all, type Element, rawOf, readXml, under } from './xml.ts';

const HEAD = 16 * 1024;
/** Machines of one appliance. */
const MAX_SYSTEMS = 256;
/** Collections of machines within each other. */
const MAX_NESTED = 16;
const MANIFEST_BYTES = 1024 * 1024;

export const ovf: Format = {
  id: 'ovf',
  layer: 'machine',
  title: 'OVF appliance',
  spec: 'vmconfig.md section 4',
  gaps: [
    'Signatures (.cert) are not checked.',
    'Files that are compressed or cut into chunks beside the description are not read as disks.',
  ],
  names: ['.ovf'],
  async probe(source) {
    if (source.size === 0) return 0;
    const { raw } = await readText(source, HEAD);
    return /<(?:[A-Za-z][\w.-]{0,20}:)?Envelope[\s>]/.test(raw.replaceAll('\0', '')) ? 85 : 0;
  },
  async open(source, cx) {
    const { root, damage, size } = await readXml(source, cx, 'ovf');
    const systems = root === undefined ? [] : systemsOf(root);
    const faults: Damage[] = [];
    const media = root === undefined ? new Map<string, Medium>() : mediaOf(root, faults, cx);
    const models: MachineModel[] = systems.map((system) => systemModel(system, media));
    for (const { name, disks } of models)
      for (const { slot, device, file } of disks)
        if (device === 'disk' && file === '' && faults.length < MAX_DISKS)
          faults.push(cx.damage(0, 'ovf.disk', 'a file for each disk', `none for ${slot} of "${name.value}"`, EMPTY));
    if (root !== undefined && models.length === 0)
      faults.push(
        cx.damage(0, 'ovf.system', 'a <VirtualSystem>', `none in <${root.name}>`, 'no machine is known from it'),
      );
    const { listed, unread } = await manifestBeside(cx);
    const own = await ownHash(listed, ownName(cx), source, cx.signal);
    if (own !== undefined && !own.agrees)
      faults.push(cx.damage(0, 'ovf.manifest', `${own.algorithm} ${own.expected}`, own.actual, CHANGED));
    const notices = own?.agrees === true ? [`its manifest agrees with the description (${own.algorithm})`] : [];
    return {
      ...machineNode(cx, ovf.title, size, models, [...damage, ...faults, ...unread], damage.length + faults.length > 0),
      notices: [
        ...notices,
        ...(listed.length > 0 ? [`the manifest lists ${listed.length} files; salvor check compares them all`] : []),
      ],
      check: (signal) => checkMembers(listed, cx, signal),
    };
  },
};

const EMPTY = 'it was empty when it was exported, or its file is not named; the machine gets an empty disk there';
const CHANGED = 'the description was changed after it was exported, or is damaged';

/** The hashes that lie beside a description, and what of their text could not be read. */
async function manifestBeside(cx: Cx): Promise<{ listed: readonly Listed[]; unread: readonly Damage[] }> {
  const own = ownName(cx);
  const [found] = /\.ovf$/i.test(own) ? await cx.siblings({ name: own.replace(/\.ovf$/i, '.mf') }) : [];
  if (found === undefined) return { listed: [], unread: [] };
  const text = await readText(found.source, MANIFEST_BYTES);
  const actual = unreadOf(text);
  const unread =
    actual === undefined ? [] : [cx.damage(0, 'ovf.manifest', 'all of the .mf beside it', actual, UNLISTED)];
  return { listed: parseManifest(text.raw), unread };
}

const UNLISTED = 'files whose hashes stood there are not checked';

/** All systems below the envelope, in the order of the text. */
function systemsOf(root: Element): Element[] {
  const out: Element[] = [];
  const waiting: { element: Element; level: number }[] = [{ element: root, level: 0 }];
  for (let one = waiting.pop(); one !== undefined && out.length < MAX_SYSTEMS; one = waiting.pop()) {
    const { element, level } = one;
    if (element.name === 'VirtualSystem' || (element.name === 'Content' && isSystem(element))) out.push(element);
    else if (level === 0 || (/^(VirtualSystemCollection|Content)$/.test(element.name) && level < MAX_NESTED))
      for (const child of element.children.toReversed()) waiting.push({ element: child, level: level + 1 });
  }
  return out;
}

/** In the oldest descriptions systems are called contents. */
function isSystem(element: Element): boolean {
  return element.children.some(
    ({ name, attributes }) =>
      name === 'VirtualHardwareSection' || (name === 'Section' && /VirtualHardware/.test(attributes.get('type') ?? '')),
  );
}

/** Files by the ids of disks, and by their own. */
function mediaOf(root: Element, faults: Damage[], cx: Cx): Map<string, Medium> {
  const out = new Map<string, Medium>();
  const files = new Map<string, string>();
  const say = (what: string, expected: string, actual: string): void => {
    if (faults.length < MAX_DISKS)
      faults.push(cx.damage(0, `ovf.${what}`, expected, actual, 'which file a disk lies in may be another one'));
  };
  for (const { attributes } of all(under(root, 'References'), 'File').slice(0, MAX_DISKS)) {
    const id = attributes.get('id') ?? '';
    if (files.has(id)) say('reference', 'one file of each id', `"${id}" twice; the first one was taken`);
    else files.set(id, rawOf(hrefOf(attributes.get('href') ?? '')));
  }
  for (const [id, file] of files) out.set(`file/${id}`, { file, chain: [] });
  const disks = new Map<string, Disk>();
  const sections = [
    ...all(root, 'DiskSection'),
    ...all(root, 'Section').filter(({ attributes }) => /DiskSection/.test(attributes.get('type') ?? '')),
  ];
  for (const { attributes } of sections.flatMap((section) => all(section, 'Disk')).slice(0, MAX_DISKS)) {
    const id = attributes.get('diskId') ?? '';
    const reference = attributes.get('fileRef');
    const file = reference === undefined ? undefined : files.get(reference);
    if (reference !== undefined && file === undefined) say('reference', `a file "${reference}"`, 'none of that id');
    if (disks.has(id)) say('disk', 'one disk of each id', `"${id}" twice; the first one was taken`);
    else
      disks.set(id, {
        file: file ?? '',
        ...(attributes.has('format') && { format: attributes.get('format') }),
        ...(attributes.has('parentRef') && { parent: attributes.get('parentRef') }),
      });
  }
  // Once for each disk, however many machines name it.
  for (const [id, { file, format }] of disks)
    out.set(`disk/${id}`, { file, format, chain: chainOf(id, disks, (actual) => say('parent', ENDS, actual)) });
  return out;
}

const ENDS = `a chain of parents that ends, within ${MAX_CHAIN} of them`;

interface Disk {
  readonly file: string;
  readonly format?: string | undefined;
  readonly parent?: string | undefined;
}

/** Files below a disk, the next one first. */
function chainOf(id: string, disks: ReadonlyMap<string, Disk>, say: (actual: string) => void): string[] {
  const out: string[] = [];
  const seen = new Set([id]);
  for (let at = disks.get(id)?.parent; at !== undefined; at = disks.get(at)?.parent) {
    const below = disks.get(at);
    if (seen.has(at) || out.length >= MAX_CHAIN) say(`"${id}", ${seen.has(at) ? 'a loop' : 'more of them'}`);
    if (below === undefined || seen.has(at) || out.length >= MAX_CHAIN) break;
    seen.add(at);
    out.push(below.file);
  }
  return out;
}

/** A file's name as it lies beside the description; what is elsewhere has only its base name. */
function hrefOf(href: string): string {
  const plain = href.replace(/^file:\/*/i, '');
  let text = plain;
  try {
    text = decodeURIComponent(plain);
  } catch {
    // A percent sign that is no escape belongs to the name.
  }
  return text.split(/[\\/]/).pop() ?? '';
}
