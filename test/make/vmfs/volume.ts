import type { Made, Structure, Truth, Write } from '../types.ts';
import { diskSize, type WrapKind, wrapParts } from '../wrap.ts';
import type { Identity } from './identity.ts';
import { type Device, lvmParts, type Part, partitionBytes, pePosition, type Region, regionsOf } from './lvm.ts';
import { MIB, PE } from './shape.ts';
import type { StoreSpec } from './spec.ts';

const ZERO = new Uint8Array(MIB);

/** Bytes of the logical volume, made when they are asked for. */
interface Piece {
  at: number;
  length: number;
  read: (offset: number, length: number) => Uint8Array;
}

/** A place in an image. */
export interface Place {
  member: number;
  at: number;
  length: number;
}

interface Member {
  device: Device;
  regions: Region[];
  wrap: WrapKind;
  start: number;
  size: number;
}

/** Gathers what is written to a logical volume and lays it onto the member images. */
export class Volume {
  readonly size: number;
  readonly structures: Structure[] = [];
  readonly #pieces: Piece[] = [];
  readonly #members: Member[] = [];
  readonly #parts: Part[][] = [];

  constructor(spec: StoreSpec, version: 3 | 5 | 6, identity: Identity, time: number) {
    let firstPE = 0;
    for (const [index, m] of spec.members.entries()) {
      const wrap = m.wrap ?? 'bare';
      const start = wrap === 'bare' ? 0 : (m.startSector ?? (wrap === 'mbr' ? 128 : 2048)) * 512;
      const totalBytes = partitionBytes(version, m.pes);
      const device = { index, firstPE, pes: m.pes, totalBytes };
      const size = diskSize(wrap, start, totalBytes);
      this.#members.push({ device, regions: regionsOf(version, m.pes), wrap, start, size });
      firstPE += m.pes;
    }
    this.size = firstPE * PE;
    const devices = this.#members.length;
    for (const [i, m] of this.#members.entries()) {
      const where = { version, device: m.device, devices, totalPEs: firstPE, identity, time };
      const wrapped = wrapParts(m.wrap, m.start, m.device.totalBytes, m.size, spec.seed + i);
      const parts = lvmParts(where).map((p) => ({ ...p, at: p.at + m.start }));
      this.#parts.push([...wrapped, ...parts]);
      for (const p of this.#parts[i]!) {
        this.structures.push({ name: p.name, member: i, at: p.at, length: p.length });
      }
    }
  }

  /** Image places of a stretch of the volume; several where it crosses members or regions. */
  locate(at: number, length: number): Place[] {
    const places: Place[] = [];
    let from = at;
    let m = 0;
    while (from < at + length) {
      const pe = Math.floor(from / PE);
      while (pe >= this.#members[m]!.device.firstPE + this.#members[m]!.device.pes) m++;
      const member = this.#members[m]!;
      const own = pe - member.device.firstPE;
      const region = member.regions.find((r) => own < r.firstPE + r.pes)!;
      const edge = (member.device.firstPE + region.firstPE + region.pes) * PE;
      const take = Math.min(at + length, edge) - from;
      const base = pePosition(member.regions, own) + (from - pe * PE);
      places.push({ member: m, at: member.start + base, length: take });
      from += take;
    }
    return places;
  }

  /** Writes bytes; with a name they are recorded as a structure. */
  put(at: number, bytes: Uint8Array, name?: string): void {
    this.#pieces.push({ at, length: bytes.length, read: (offset, length) => bytes.subarray(offset, offset + length) });
    if (name !== undefined) this.name(name, at, bytes.length);
  }

  /** Writes bytes that are made only while writing. */
  lazy(at: number, length: number, read: Piece['read']): void {
    this.#pieces.push({ at, length, read });
  }

  /** Records a structure. */
  name(name: string, at: number, length: number): void {
    for (const p of this.locate(at, length))
      this.structures.push({ name, member: p.member, at: p.at, length: p.length });
  }

  /** The finished store; metadata comes out in the order in which it was put, data in 1 MiB steps. */
  made(name: string, truth: Omit<Truth, 'members' | 'structures' | 'volumeSize'>): Made {
    const members = this.#members.map((m) => ({
      partitionStart: m.start,
      partitionBytes: m.device.totalBytes,
      firstPE: m.device.firstPE,
      pes: m.device.pes,
    }));
    return {
      name,
      members: this.#members.map((m) => ({ size: m.size })),
      writes: () => this.#writes(),
      truth: { ...truth, volumeSize: this.size, members, structures: this.structures },
    };
  }

  *#writes(): Iterable<Write> {
    for (const [member, parts] of this.#parts.entries()) {
      for (const part of parts) yield { member, at: part.at, bytes: part.bytes() };
    }
    for (const piece of this.#pieces) {
      for (let done = 0; done < piece.length; ) {
        const step = Math.min(piece.length - done, MIB - ((piece.at + done) % MIB));
        const bytes = piece.read(done, step);
        if (bytes[0] === 0 && Buffer.compare(bytes, ZERO.subarray(0, bytes.length)) === 0) {
          done += step;
          continue;
        }
        const place = this.locate(piece.at + done, 1)[0]!;
        yield { member: place.member, at: place.at, bytes };
        done += step;
      }
    }
  }
}
