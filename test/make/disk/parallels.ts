/** Writes Parallels images and the descriptor of their bundle, as QEMU and real bundles have them. */
import type { Disk, MadeDisk } from './content.ts';

/** `old`: places are counted in sectors, not in blocks. Zeros by definition are not known to this format. */
export function makeParallels(disk: Disk, old = false): MadeDisk {
  const count = Math.ceil(disk.size / disk.block);
  const out = Buffer.alloc((1 + disk.order.length) * disk.block);
  out.write(old ? 'WithoutFreeSpace' : 'WithouFreSpacExt', 0, 'latin1');
  const sectors = disk.block / 512;
  for (const [i, value] of [2, 16, 100, sectors, count, disk.size / 512].entries())
    out.writeUInt32LE(value, 16 + 4 * i);
  out.writeUInt32LE(0x312e3276, 44);
  out.writeUInt32LE(sectors, 48);
  for (const [place, i] of disk.order.entries()) {
    out.writeUInt32LE((place + 1) * (old ? sectors : 1), 64 + 4 * i);
    out.set(disk.raw.subarray(i * disk.block, (i + 1) * disk.block), (place + 1) * disk.block);
  }
  return { bytes: out, parts: [{ name: 'table', at: 64, length: 4 * count }] };
}

/** A descriptor of a disk that is cut into parts, each a file of so many sectors without snapshots. */
export function partsBundle(files: readonly { readonly name: string; readonly sectors: number }[]): Uint8Array {
  let from = 0;
  const storages = files.map(({ name, sectors }) => {
    const image = `<Image><GUID>{5fbaabe3-6958-40ff-92a7-860e329aab41}</GUID><Type>Plain</Type><File>${name}</File></Image>`;
    const ends = `<Start>${from}</Start>\n<End>${from + sectors}</End><Blocksize>63</Blocksize>`;
    from += sectors;
    return `<Storage>${ends}${image}</Storage>`;
  });
  const shot =
    '<Shot><GUID>{5fbaabe3-6958-40ff-92a7-860e329aab41}</GUID><ParentGUID>{00000000-0000-0000-0000-000000000000}</ParentGUID></Shot>';
  return Buffer.from(
    `<?xml version='1.0'?><Parallels_disk_image><StorageData>${storages.join('')}</StorageData><Snapshots>${shot}</Snapshots></Parallels_disk_image>`,
  );
}

/** A descriptor of these images, each of which lies on the one before. */
export function bundle(files: readonly string[]): Uint8Array {
  const id = (i: number): string => `{0000000${i}-1111-2222-3333-444444444444}`;
  const images = files.map(
    (file, i) => `<Image><GUID>${id(i + 1)}</GUID><Type>Compressed</Type><File>${file}</File></Image>`,
  );
  const shots = files.map((_, i) => {
    const parent = i === 0 ? '{00000000-0000-0000-0000-000000000000}' : id(i);
    return `<Shot><GUID>${id(i + 1)}</GUID><ParentGUID>${parent}</ParentGUID></Shot>`;
  });
  const storage = `<StorageData><Storage><Start>0</Start>${images.join('')}</Storage></StorageData>`;
  return Buffer.from(`<Parallels_disk_image Version="1.0">${storage}<Snapshots>${shots.join('')}</Snapshots>`);
}
