/** All platforms that machines can be written for. */
import type { MachineWriter } from '../../../core/machine-writer.ts';
import { libvirtWriter } from './libvirt.ts';
import { ovfWriter } from './ovf.ts';
import { proxmoxWriter } from './proxmox.ts';
import { vboxWriter } from './vbox.ts';
import { vmxWriter } from './vmx.ts';

export const machineWriters: readonly MachineWriter[] = [
  libvirtWriter,
  vboxWriter,
  vmxWriter,
  proxmoxWriter,
  ovfWriter,
];
export { decide, kindOf, type SourceDisk, virtioSteps } from './decide.ts';
export { qemuCard, qemuDisk, qemuHere } from './qemu.ts';
