/** What ntfs-3g does not write by itself: a $MFT whose map stands in two records, as on badly fragmented volumes. */

const RECORD = 1024;
const SECTOR = 512;
/** A record of the reserved ones that mkntfs leaves empty. */
const SPARE = 15;

/** A record without its update sequence, and the same with a new one. */
function bare(record: Buffer): Buffer {
  const out = Buffer.from(record);
  const kept = out.readUInt16LE(4);
  for (const i of [1, 2]) out.writeUInt16LE(out.readUInt16LE(kept + 2 * i), SECTOR * i - 2);
  return out;
}

function sealed(record: Buffer): Buffer {
  const out = Buffer.from(record);
  const kept = out.readUInt16LE(4);
  for (const i of [1, 2]) {
    out.writeUInt16LE(out.readUInt16LE(SECTOR * i - 2), kept + 2 * i);
    out.writeUInt16LE(out.readUInt16LE(kept), SECTOR * i - 2);
  }
  return out;
}

function attributesOf(record: Buffer): Buffer[] {
  const out: Buffer[] = [];
  for (let at = record.readUInt16LE(0x14); record.readUInt32LE(at) !== 0xffffffff; at += record.readUInt32LE(at + 4)) {
    out.push(record.subarray(at, at + record.readUInt32LE(at + 4)));
  }
  return out;
}

/** A record of these attributes in place of those that it has. */
function filled(record: Buffer, attributes: readonly Buffer[]): Buffer {
  const first = record.readUInt16LE(0x14);
  const end = Buffer.alloc(8);
  end.writeUInt32LE(0xffffffff, 0);
  const body = Buffer.concat([...attributes, end]);
  const out = Buffer.alloc(RECORD);
  record.copy(out, 0, 0, first);
  body.copy(out, first);
  out.writeUInt32LE(first + body.length, 0x18);
  return out;
}

/** A map of `count` clusters from `lcn` on, as a piece of an attribute that starts at `vcn`. */
function piece(model: Buffer, vcn: number, count: number, lcn: number): Buffer {
  const out = Buffer.alloc(80);
  model.copy(out, 0, 0, 64);
  out.writeUInt32LE(80, 4);
  out.writeBigUInt64LE(BigInt(vcn), 16);
  out.writeBigUInt64LE(BigInt(vcn + count - 1), 24);
  out.writeUInt16LE(64, 32);
  // One byte of length, three of place.
  out[64] = 0x31;
  out[65] = count;
  out.writeUIntLE(lcn, 66, 3);
  if (vcn > 0) out.fill(0, 40, 64);
  return out;
}

function listEntry(type: number, vcn: number, record: number, sequence: number): Buffer {
  const out = Buffer.alloc(32);
  out.writeUInt32LE(type, 0);
  out.writeUInt16LE(32, 4);
  out[7] = 26;
  out.writeBigUInt64LE(BigInt(vcn), 8);
  out.writeUInt32LE(record, 16);
  out.writeUInt16LE(sequence, 22);
  return out;
}

/** Splits the map of the $MFT at `mft` bytes behind its first `first` clusters, in place; it must lie in one piece of up to 255. */
export function splitTable(image: Buffer, mft: number, cluster: number, first: number): void {
  const record = bare(image.subarray(mft, mft + RECORD));
  const all = attributesOf(record);
  const model = all.find((one) => one.readUInt32LE(0) === 0x80)!;
  const clusters = Number(model.readBigUInt64LE(24)) + 1;
  const spareAt = mft + SPARE * RECORD;
  const spare = bare(image.subarray(spareAt, spareAt + RECORD));
  const sequence = spare.readUInt16LE(0x10);
  const value = Buffer.concat([
    listEntry(0x10, 0, 0, 1),
    listEntry(0x30, 0, 0, 1),
    listEntry(0x80, 0, 0, 1),
    listEntry(0x80, first, SPARE, sequence),
    listEntry(0xb0, 0, 0, 1),
  ]);
  const list = Buffer.alloc(24 + value.length);
  list.writeUInt32LE(0x20, 0);
  list.writeUInt32LE(list.length, 4);
  list.writeUInt16LE(0x30, 14);
  list.writeUInt32LE(value.length, 16);
  list.writeUInt16LE(24, 20);
  value.copy(list, 24);
  const attributes = all.flatMap((one) => {
    const type = one.readUInt32LE(0);
    if (type === 0x10) return [one, list];
    return type === 0x80 ? [piece(model, 0, first, mft / cluster)] : [one];
  });
  sealed(filled(record, attributes)).copy(image, mft);
  spare.writeUInt32LE(0, 0x20);
  spare.writeUInt16LE(1, 0x26);
  const rest = piece(model, first, clusters - first, mft / cluster + first);
  sealed(filled(spare, [rest])).copy(image, spareAt);
}
