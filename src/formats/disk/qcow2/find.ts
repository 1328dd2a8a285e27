/** Headers of QCOW2 images found anywhere. Source: qcow2.md section 2. */
import type { Finder } from '../../../core/finder.ts';
import { header, V2_LENGTH } from './structs.ts';

export const qcow2Finder: Finder = {
  align: 512,
  keys: [
    { offset: 0, bytes: [0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 2] },
    { offset: 0, bytes: [0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3] },
  ],
  need: 512,
  examine(block, at, emit) {
    if (block.length < header.size) return;
    const values = header.decode(block);
    const { clusterBits, size } = header.fields;
    const fits = values.clusterBits >= clusterBits.rule!.min! && values.clusterBits <= clusterBits.rule!.max!;
    if (!fits || !(values.size <= size.rule!.max!)) return;
    const facts = { bytes: values.size, clusterSize: 2 ** values.clusterBits };
    emit({ kind: 'qcow2.header', at, length: V2_LENGTH, base: at, facts });
  },
};
