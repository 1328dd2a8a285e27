/**
 * The machine on its original files, and the XML of the states that these keep: what virsh snapshot-create --redefine
 * takes where libvirt forgot them. Source: libvirt's formatsnapshot page.
 */
import { inQuotes } from '../../../codec/shell.ts';
import type { InPlace, TargetMachine, WrittenText } from '../../../core/machine-writer.ts';
import { xmlText } from '../xml.ts';
import { made } from './uuid.ts';

/** The texts; none where the original files keep no states. `domain` writes a machine's own text. */
export function stateTexts(
  machine: TargetMachine,
  domain: (machine: TargetMachine, folder: string) => string,
): WrittenText[] {
  const { inPlace, stem } = machine;
  if (!isUsable(inPlace)) return [];
  // libvirt takes a state only for the machine with the same UUID.
  const own: TargetMachine = {
    ...machine,
    uuid: machine.uuid ?? made(machine),
    disks: machine.disks.map((disk, i) => ({ ...disk, file: inPlace.files[i].path, format: inPlace.files[i].format })),
  };
  const text = domain(own, '');
  const targets = [...text.matchAll(/<disk type='file' device='disk'>[\s\S]*?<target dev='(\w+)'/g)].map(
    ([, dev]) => dev,
  );
  return [
    { name: nameOf(stem), text, what: 'the machine on its original files, with the states they keep' },
    ...inPlace.states.map((state, i) => ({
      name: stateName(stem, i),
      what: `the state "${state.name}" for virsh snapshot-create --redefine`,
      text: snapshotText(inPlace, i, targets, text),
    })),
  ];
}

/** Only states that qemu finds in the disks again. */
function isUsable(inPlace: InPlace | undefined): inPlace is InPlace {
  const files = inPlace?.files ?? [];
  return files.length > 0 && files.every(({ format }) => format === 'raw' || format === 'qcow2');
}

function nameOf(stem: string): string {
  return `${stem}.in-place.xml`;
}

function stateName(stem: string, i: number): string {
  return `${stem}.state-${i + 1}.xml`;
}

function snapshotText({ states }: InPlace, i: number, targets: readonly string[], domain: string): string {
  const { name, time, running, disks } = states[i];
  const before = states[i - 1];
  const lines = [
    '<domainsnapshot>',
    '  <!-- Written by Salvor. That each state follows the one before it is assumed from their times. -->',
    `  <name>${xmlText(name)}</name>`,
    ...(before === undefined ? [] : [`  <parent><name>${xmlText(before.name)}</name></parent>`]),
    ...(time === undefined ? [] : [`  <creationTime>${time}</creationTime>`]),
    `  <state>${running ? 'running' : 'shutoff'}</state>`,
    `  <memory snapshot='${running ? 'internal' : 'no'}'/>`,
    '  <disks>',
    ...disks.map((has, n) => `    <disk name='${targets[n]}' snapshot='${has ? 'internal' : 'no'}'/>`),
    '  </disks>',
    domain.trimEnd().replace(/^/gm, '  '),
    '</domainsnapshot>',
  ];
  return `${lines.join('\n')}\n`;
}

/** What to do with them, in sentences. */
export function stateSteps(name: string, stem: string, folder: string, inPlace: InPlace | undefined): string[] {
  if (!isUsable(inPlace)) return [];
  const names = inPlace.states.map((state) => `"${state.name}"`).join(', ');
  const each = inPlace.states.map(
    (_, i) => `virsh snapshot-create ${inQuotes(name)} ${inQuotes(`${folder}/${stateName(stem, i)}`)} --redefine`,
  );
  return [
    `The original disks keep states of their own (${names}), which the converted ones do not have. To run on copies of the originals with these states: virsh define ${inQuotes(`${folder}/${nameOf(stem)}`)} with the paths of the copies, in place of the other XML, then ${each.join('; ')}.`,
  ];
}
