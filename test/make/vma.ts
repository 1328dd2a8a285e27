/** Backups of Proxmox machines, written from vma_spec.txt: a header, then extents of up to 59 clusters of all disks in turns. */
import { createHash } from 'node:crypto';

const CLUSTER = 65_536;
const BLOCK = 4096;
const PER_EXTENT = 59;
const HEADER = 12_288;

export interface VmaDisk {
  readonly name: string;
  readonly content: Uint8Array;
}

/** Disks are read in turns, one cluster of each, as backups of running machines are. */
export function makeVma(configs: Readonly<Record<string, string>>, disks: readonly VmaDisk[]): Buffer {
  const uuid = createHash('md5').update(Object.values(configs).join()).digest();
  const texts: Buffer[] = [Buffer.alloc(1)];
  let used = 1;
  const blob = (bytes: Buffer): number => {
    const at = used;
    const size = Buffer.alloc(2);
    size.writeUInt16LE(bytes.length);
    texts.push(size, bytes);
    used += 2 + bytes.length;
    return at;
  };
  const head = Buffer.alloc(HEADER);
  head.write('VMA\0', 0, 'latin1');
  head.writeUInt32BE(1, 4);
  uuid.copy(head, 8);
  head.writeBigInt64BE(1_700_000_000n, 24);
  for (const [i, [name, text]] of Object.entries(configs).entries()) {
    head.writeUInt32BE(blob(Buffer.from(`${name}\0`)), 2044 + 4 * i);
    head.writeUInt32BE(blob(Buffer.from(text)), 3068 + 4 * i);
  }
  for (const [i, { content, name }] of disks.entries()) {
    const at = 4096 + 32 * (i + 1);
    head.writeUInt32BE(blob(Buffer.from(`${name}\0`)), at);
    head.writeBigUInt64BE(BigInt(content.length), at + 8);
  }
  const whole = Math.ceil((HEADER + used) / 512) * 512;
  head.writeUInt32BE(HEADER, 48);
  head.writeUInt32BE(used, 52);
  head.writeUInt32BE(whole, 56);
  const header = Buffer.concat([head, ...texts, Buffer.alloc(whole - HEADER - used)]);
  createHash('md5').update(header).digest().copy(header, 32);
  return Buffer.concat([header, ...extents(uuid, disks)]);
}

function extents(uuid: Buffer, disks: readonly VmaDisk[]): Buffer[] {
  const order: { device: number; cluster: number }[] = [];
  const most = Math.max(...disks.map(({ content }) => Math.ceil(content.length / CLUSTER)));
  for (let cluster = 0; cluster < most; cluster++)
    for (const [i, { content }] of disks.entries())
      if (cluster * CLUSTER < content.length) order.push({ device: i + 1, cluster });
  const out: Buffer[] = [];
  for (let from = 0; from < order.length; from += PER_EXTENT) {
    const head = Buffer.alloc(512);
    head.write('VMAE', 0, 'latin1');
    uuid.copy(head, 8);
    const blocks: Buffer[] = [];
    for (const [i, { cluster, device }] of order.slice(from, from + PER_EXTENT).entries()) {
      let mask = 0;
      for (let n = 0; n < 16; n++) {
        const at = cluster * CLUSTER + n * BLOCK;
        const bytes = disks[device - 1].content.subarray(at, at + BLOCK);
        if (!bytes.some((byte) => byte !== 0)) continue;
        mask |= 1 << n;
        blocks.push(Buffer.concat([bytes, Buffer.alloc(BLOCK - bytes.length)]));
      }
      head.writeUInt16BE(mask, 40 + 8 * i);
      head.writeUInt8(device, 40 + 8 * i + 3);
      head.writeUInt32BE(cluster, 40 + 8 * i + 4);
    }
    head.writeUInt16BE(blocks.length, 6);
    createHash('md5').update(head).digest().copy(head, 24);
    out.push(head, ...blocks);
  }
  return out;
}
