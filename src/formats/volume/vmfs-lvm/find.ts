/** Device headers of VMFS found anywhere. Source: vmfs.md sections 1.2 and 8.1. */
import { vmwareUuid } from '../../../codec/vmware-uuid.ts';
import type { Finder } from '../../../core/finder.ts';
import { deviceHeader, HEADER_AT, MAGIC } from './structs.ts';

/** `base` is where the partition starts. */
export const lvmFinder: Finder = {
  align: 512,
  keys: [{ offset: 0, bytes: [MAGIC & 0xff, (MAGIC >>> 8) & 0xff, (MAGIC >>> 16) & 0xff, MAGIC >>> 24] }],
  need: deviceHeader.size,
  examine(block, at, emit) {
    if (block.length < deviceHeader.size) return;
    const header = deviceHeader.decode(block);
    if (deviceHeader.violations(header).length > 0) return;
    const facts = { major: header.major, device: vmwareUuid(header.uuid), bytes: header.totalBytes };
    emit({ kind: 'vmfs-lvm.header', at, length: deviceHeader.size, base: at - HEADER_AT, facts });
  },
};
