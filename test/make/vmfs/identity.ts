import { Bytes } from '../bytes.ts';
import { dice } from '../content.ts';

/** Sixteen bytes as VMFS keeps a UUID: u32 seconds, u32, u16, MAC (vmfs.md 1.2). */
export interface Uuid {
  bytes: Uint8Array;
  text: string;
}

/** The identities of one store and of the host that wrote it. */
export interface Identity {
  lv: Uuid;
  fs: Uuid;
  host: Uuid;
  mac: Uint8Array;
  devices: Uuid[];
  ip: string;
}

const MAC = [0x00, 0x0c, 0x29];

function uuid(time: number, roll: (below: number) => number, mac: Uint8Array): Uuid {
  const record = new Bytes(16).u32(0, time).u32(4, roll(0xfffffff0)).u16(8, roll(0xfff0)).raw(10, mac);
  const hex = (from: number, to: number) =>
    [...record.data.subarray(from, to)].map((b) => b.toString(16).padStart(2, '0')).join('');
  const back = (from: number, to: number) =>
    [...record.data.subarray(from, to)]
      .reverse()
      .map((b) => b.toString(16).padStart(2, '0'))
      .join('');
  return { bytes: record.data, text: `${back(0, 4)}-${back(4, 8)}-${back(8, 10)}-${hex(10, 16)}` };
}

/** Identities from a seed: the same store twice gives the same bytes. */
export function identityOf(seed: number, time: number, members: number): Identity {
  const roll = dice(seed);
  const mac = Uint8Array.from([...MAC, roll(256), roll(256), roll(256)]);
  const lv = uuid(time, roll, mac);
  const fs = uuid(time + 1, roll, mac);
  const host = uuid(time - 86400 - roll(1000000), roll, mac);
  const devices = Array.from({ length: members }, () => uuid(time, roll, mac));
  return { lv, fs, host, mac, devices, ip: `10.${roll(250)}.${roll(250)}.${1 + roll(250)}` };
}
