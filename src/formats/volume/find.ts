/** Partition tables found anywhere: of the evidence, and of every disk that lies inside it in one piece. */
import { crc32 } from '../../codec/crc32.ts';
import { type Finder, textKey } from '../../core/finder.ts';
import { header } from './gpt.ts';
import { bootRecord, entryStruct } from './mbr.ts';

const SECTOR = 512;
const GPT_PROTECTIVE = 0xee;

/** `base` is where the disk starts that the table is of. */
export const gptFinder: Finder = {
  align: SECTOR,
  keys: [textKey(0, 'EFI PART')],
  need: SECTOR,
  examine(block, at, emit) {
    if (block.length < SECTOR) return;
    const table = header.decode(block);
    if (header.violations(table).length > 0) return;
    const copy = block.slice(0, table.size);
    copy.fill(0, 16, 20);
    if (crc32(copy) !== table.crc) return;
    const backup = table.myLba > table.alternateLba;
    const sectors = Math.max(table.myLba, table.alternateLba) + 1;
    const facts = { copy: backup ? 'backup' : 'primary', bytes: sectors * SECTOR };
    emit({ kind: 'disk.gpt', at, length: SECTOR, base: at - table.myLba * SECTOR, facts });
  },
};

/** `bytes` is where the last partition ends: the disk is at least as large. */
export const mbrFinder: Finder = {
  align: SECTOR,
  keys: [{ offset: 510, bytes: [0x55, 0xaa] }],
  need: SECTOR,
  examine(block, at, emit) {
    if (block.length < SECTOR) return;
    const { entries } = bootRecord.decode(block);
    let end = 0;
    let count = 0;
    for (let i = 0; i < 4; i++) {
      const entry = entryStruct.decode(entries, 16 * i);
      if (entryStruct.violations(entry).length > 0) return;
      if (entry.type === 0) {
        if (entry.start !== 0 || entry.sectors !== 0) return;
        continue;
      }
      if (entry.start === 0 || entry.sectors === 0) return;
      if (entry.type === GPT_PROTECTIVE) return; // the GUID table beside it says more
      count++;
      end = Math.max(end, entry.start + entry.sectors);
    }
    if (count > 0)
      emit({ kind: 'disk.mbr', at, length: SECTOR, base: at, facts: { partitions: count, bytes: end * SECTOR } });
  },
};
