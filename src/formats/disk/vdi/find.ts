/** VDI headers found anywhere. Source: vdi.md section 1. */
import type { Finder } from '../../../core/finder.ts';
import { guidText } from '../guid.ts';
import { header, headerOf } from './structs.ts';

export const vdiFinder: Finder = {
  align: 512,
  keys: [{ offset: 0x40, bytes: [0x7f, 0x10, 0xda, 0xbe] }],
  need: header.size,
  examine(block, at, emit) {
    const found = headerOf(block);
    if (found === undefined || found.faults.length > 0) return;
    const facts = { bytes: found.diskSize, uuid: guidText(found.uuid), type: found.type };
    emit({ kind: 'vdi.header', at, length: header.size, base: at, facts });
  },
};
