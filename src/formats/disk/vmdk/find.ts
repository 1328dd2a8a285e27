/** VMDK descriptors and sparse extents found anywhere. Source: vmdk.md. */
import { type Finder, textKey } from '../../../core/finder.ts';
import { latin1 } from '../../../core/struct.ts';

const SECTOR = 512;
/** Descriptors are a few hundred bytes. */
const TEXT = 2048;
const MAX_SECTORS = 2 ** 44;

/** Texts that describe a disk: the first extent they name, and its size. */
export const descriptorFinder: Finder = {
  align: SECTOR,
  keys: [textKey(0, '# Disk DescriptorFile')],
  need: TEXT,
  examine(block, at, emit) {
    const text = latin1(block, 0, block.length);
    const extent = /^(?:RW|RDONLY) (\d{1,15}) (\w+) "([^"/\r\n\0]{1,127})"/m.exec(text);
    const sectors = Number(extent?.[1] ?? 0);
    const named = extent === null || sectors > MAX_SECTORS ? {} : { extent: extent[3], bytes: sectors * SECTOR };
    emit({
      kind: 'vmdk.descriptor',
      at,
      length: SECTOR,
      facts: { cid: /^CID=(\w{1,8})/m.exec(text)?.[1] ?? '', ...named },
    });
  },
};

/** Headers of sparse extents, by their magics. */
export const sparseFinder: Finder = {
  align: SECTOR,
  keys: [textKey(0, 'KDMV'), textKey(0, 'COWD'), { offset: 0, bytes: [0xbe, 0xba, 0xfe, 0xca, 0, 0, 0, 0] }],
  need: SECTOR,
  examine(block, at, emit) {
    const what = { 75: 'sparse', 67: 'vmfsSparse', 190: 'seSparse' }[block[0]] ?? '';
    emit({ kind: 'vmdk.sparse', at, length: SECTOR, facts: { what } });
  },
};
