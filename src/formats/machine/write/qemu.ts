/** qemu itself as a platform: what machines get that are started here and now, and what qemu calls their devices. */
import type { StorageKind } from '../../../core/guest.ts';
import type { CardModel } from '../../../core/machine.ts';
import type { MachineWriter, Platform } from '../../../core/machine-writer.ts';

/** Places for disks in what qemu emulates, however it is told to. */
export const QEMU_ROOM: Platform['room'] = {
  virtio: { units: 20, controllers: 1 },
  'virtio-scsi': { units: 255, controllers: 1 },
  sata: { units: 6, controllers: 4 },
  pvscsi: { units: 16, controllers: 1, taken: 7 },
  lsisas: { units: 8, controllers: 1 },
};

/** Processors that all boards take without an IOMMU; cards that the older board has slots for, beside the rest. */
export const QEMU_MOST: Platform['most'] = { processors: 255, cards: 20 };

const STORAGE: readonly StorageKind[] = ['virtio', 'virtio-scsi', 'sata', 'pvscsi', 'nvme', 'ide', 'lsisas'];

/**
 * The platform of a machine that is started as it is. `had`: what its disks were plugged into, which comes first, so
 * that they keep their names. `network`: what its cards reach, in words.
 */
export function qemuHere(had: StorageKind | undefined, network: string): MachineWriter {
  const isFirst = (kind: StorageKind): number => (kind === had ? 0 : 1);
  return {
    platform: {
      target: 'here',
      title: 'qemu',
      storage: STORAGE.toSorted((a, b) => isFirst(a) - isFirst(b)),
      room: {
        ...QEMU_ROOM,
        nvme: { units: 1, controllers: 16 },
        ide: { units: 4, controllers: 1 },
      },
      cards: ['virtio', 'e1000', 'e1000e', 'vmxnet3', 'rtl8139', 'pcnet'],
      most: QEMU_MOST,
      variant: 'qcow2',
      ending: '.qcow2',
      parts: [],
      network,
      sameAs: 'nothing',
      guests: 'osinfo',
      hasVirtio: false,
    },
    names: (_, count) => Array.from({ length: count }, (_unused, i) => `disk${i}.qcow2`),
    write: () => [],
    steps: () => [],
  };
}

const CARDS: Readonly<Partial<Record<CardModel, string>>> = { virtio: 'virtio-net-pci', e1000: 'e1000-82545em' };

/** A network card as qemu calls it. */
export function qemuCard(model: CardModel): string {
  return CARDS[model] ?? model;
}

/** The `n`th disk of a machine as devices of qemu: its controller, where it needs one of its own kind, and itself. */
export function qemuDisk(storage: StorageKind, controller: number, unit: number, n: number): [string, string] {
  if (storage === 'ide') return ['', `ide-hd,bus=ide.${n >> 1},unit=${n & 1}`];
  if (storage === 'sata') return [`ich9-ahci,id=sata${controller}`, `ide-hd,bus=sata${controller}.${unit}`];
  if (storage === 'virtio') return ['', 'virtio-blk-pci'];
  if (storage === 'nvme') return ['', `nvme,serial=disk${n}`];
  if (storage === 'virtio-scsi') return ['virtio-scsi-pci,id=scsi0', `scsi-hd,bus=scsi0.0,scsi-id=${unit}`];
  return [`${storage === 'pvscsi' ? 'pvscsi' : 'mptsas1068'},id=scsi0`, `scsi-hd,bus=scsi0.0,scsi-id=${unit}`];
}
