/** VHD footers and dynamic headers found anywhere. Source: vhd.md. */
import { type Finder, textKey } from '../../../core/finder.ts';
import { uuidText } from '../guid.ts';
import { dynamicHeader, dynamicHeaderOf, footerOf, SECTOR, sizeOf, TYPES } from './structs.ts';

export const vhdFinder: Finder = {
  align: 512,
  keys: [textKey(0, 'conectix'), textKey(0, 'cxsparse')],
  need: dynamicHeader.size,
  examine(block, at, emit) {
    const footer = footerOf(block.subarray(0, SECTOR), at);
    if (footer?.isSound) {
      const { values } = footer;
      const facts = { bytes: sizeOf(values), type: TYPES[values.type], uuid: uuidText(values.uniqueId) };
      emit({ kind: 'vhd.footer', at, length: SECTOR, facts });
    }
    const header = dynamicHeaderOf(block, at);
    if (!header?.isSound) return;
    const { blockSize, maxEntries } = header.values;
    emit({ kind: 'vhd.header', at, length: dynamicHeader.size, facts: { blockSize, entries: maxEntries } });
  },
};
