/** Writes a .vmx for VMware. Source: vmconfig.md sections 1 and 6. */
import { inQuotes } from '../../../codec/shell.ts';
import type { MachineWriter, Platform, TargetMachine } from '../../../core/machine-writer.ts';
import { INFERRED } from '../../../core/run.ts';
import { type Configured, composed, setBoard } from '../compose.ts';

const MIB = 1024 * 1024;

const VMWARE: Platform = {
  target: 'vmware',
  title: 'VMware',
  storage: ['pvscsi', 'lsisas', 'lsilogic', 'sata', 'nvme', 'ide', 'buslogic'],
  room: {
    pvscsi: { units: 16, controllers: 4, taken: 7 },
    lsisas: { units: 16, controllers: 4, taken: 7 },
    lsilogic: { units: 16, controllers: 4, taken: 7 },
    buslogic: { units: 16, controllers: 4, taken: 7 },
    sata: { units: 29, controllers: 4 },
    nvme: { units: 15, controllers: 4 },
    ide: { units: 3, controllers: 1 },
  },
  cards: ['e1000', 'e1000e', 'vmxnet3', 'vmxnet', 'pcnet'],
  most: { processors: 128, cards: 10 },
  variant: 'flat',
  ending: '.vmdk',
  parts: ['-flat.vmdk'],
  network: 'VM Network',
  sameAs: 'VMware',
  guests: 'vmware',
  hasVirtio: false,
};

/** What hosts from ESXi 6.7 on start. */
const HARDWARE = '14';
const SCSI: Readonly<Record<string, string>> = {
  pvscsi: 'pvscsi',
  lsisas: 'lsisas1068',
  lsilogic: 'lsilogic',
  buslogic: 'buslogic',
};
const CARDS: Readonly<Record<string, string>> = { pcnet: 'vlance', vmxnet: 'vmxnet' };
const PLAIN = 'what every VMware host starts a machine with';

export const vmxWriter: MachineWriter = {
  platform: VMWARE,
  names: (stem, count) => Array.from({ length: count }, (_, i) => `${stem}-disk${i}.vmdk`),
  write: (machine) => [{ name: `${machine.stem}.vmx`, text: vmxText(machine), what: 'the machine for VMware' }],
  steps: ({ stem, disks }) => [
    'In Workstation and Fusion, open the .vmx; say "I moved it" when it asks.',
    `For ESXi, copy the folder to a datastore, and there, for each disk: ${disks.map(({ file }) => `vmkfstools -i ${inQuotes(file)} ${inQuotes(`esx-${file}`)} -d thin`).join('; ')}; name these in the .vmx, then vim-cmd solo/registervm the full path of '${stem}.vmx'.`,
    'Choose the port group of each network card before it is connected.',
  ],
};

function vmxText(machine: TargetMachine): string {
  const out: Configured = new Map();
  const reason = (what: string): string => {
    const found = machine.decisions.find((one) => one.what === what);
    return found === undefined ? PLAIN : `${what}: ${found.reason}`;
  };
  const set = (key: string, value: string, from = PLAIN): void =>
    void out.set(key, { value, from, certainty: INFERRED });
  set('config.version', '8');
  set('virtualhw.version', HARDWARE);
  set('displayname', machine.name, reason('name'));
  set('guestos', machine.guest, reason('guest'));
  set('memsize', String(machine.memory / MIB), reason('memory'));
  set('numvcpus', String(machine.processors), reason('processors'));
  set('cpuid.corespersocket', String(machine.cores), reason('processors'));
  set('firmware', machine.firmware, reason('firmware'));
  if (machine.secureBoot) set('uefi.secureboot.enabled', 'TRUE', reason('secure boot'));
  if (machine.uuid !== undefined) {
    set('uuid.bios', spaced(machine.uuid), reason('UUID'));
    set('uuid.action', 'keep', reason('UUID'));
  }
  storageLines(machine, set, reason);
  if (machine.cdrom) {
    const slot = machine.storage === 'ide' ? 'ide1:1' : machine.storage === 'sata' ? 'sata0:29' : 'ide1:0';
    set(`${slot}.present`, 'TRUE');
    set(`${slot}.devicetype`, 'cdrom-raw');
    set(`${slot}.startconnected`, 'FALSE');
    set(`${slot}.autodetect`, 'TRUE');
  }
  for (const [i, { model, mac, network }] of machine.cards.entries()) {
    const from = reason(`network ${i}`);
    set(`ethernet${i}.present`, 'TRUE', from);
    set(`ethernet${i}.virtualdev`, CARDS[model] ?? model, from);
    set(`ethernet${i}.networkname`, network, from);
    set(`ethernet${i}.connectiontype`, 'bridged', from);
    set(`ethernet${i}.addresstype`, mac === undefined ? 'generated' : 'static', from);
    if (mac !== undefined) {
      set(`ethernet${i}.address`, mac, from);
      // Addresses of other makers are refused where this is not said.
      set(`ethernet${i}.checkmacaddress`, 'FALSE', from);
    }
  }
  set('nvram', `${machine.stem}.nvram`);
  setBoard(set);
  return `${composed(out)
    .map(({ text }) => text)
    .join('\n')}\n`;
}

type Set = (key: string, value: string, from?: string) => void;

function storageLines(machine: TargetMachine, set: Set, reason: (what: string) => string): void {
  const model = SCSI[machine.storage];
  const bus = model === undefined ? machine.storage : 'scsi';
  for (const [i, { file, controller, unit }] of machine.disks.entries()) {
    const [n, u] = bus === 'ide' ? [i >> 1, i & 1] : [controller, unit];
    const slot = `${bus}${n}:${u}`;
    if (bus !== 'ide') {
      set(`${bus}${n}.present`, 'TRUE', reason('storage'));
      if (model !== undefined) set(`${bus}${n}.virtualdev`, model, reason('storage'));
    }
    set(`${slot}.present`, 'TRUE', reason(`disk ${i}`));
    set(`${slot}.filename`, file, reason(`disk ${i}`));
    if (bus === 'scsi') set(`${slot}.devicetype`, 'scsi-hardDisk', reason(`disk ${i}`));
    if (bus === 'ide') set(`${slot}.devicetype`, 'ata-hardDisk', reason(`disk ${i}`));
  }
  // A drive for discs may need a controller that no disk has.
  if (machine.cdrom && machine.storage === 'sata') set('sata0.present', 'TRUE', reason('storage'));
}

/** "56 4d 12 34 56 78 9a bc-de f0 …", as VMware writes it. */
function spaced(uuid: string): string {
  const pairs = uuid.match(/../g) ?? [];
  return `${pairs.slice(0, 8).join(' ')}-${pairs.slice(8).join(' ')}`;
}
