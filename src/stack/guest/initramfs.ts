/** What the kernel of a Linux starts with: the modules in its initramfs. Source: the kernel's own text on its buffer format. */
import { CpioNames } from '../../codec/cpio.ts';
import { type Packing, packingAt } from '../../codec/unpack.ts';
import { printable } from '../../core/locator.ts';
import type { Source } from '../../core/source.ts';

/** Larger ones are read so far only, packed and unpacked. */
const MAX_PACKED: number = 256 * 1024 * 1024;
const MAX_UNPACKED: number = 1024 * 1024 * 1024;
/** Bytes that are unpacked before others get their turn. */
const TURN: number = 4 * 1024 * 1024;
const MAX_MODULES = 100_000;
/** In the oldest ones, modules lie in lib itself. */
const MODULE = /(?:^|\/)lib\/(?:modules\/([^/]+)\/(?:.*\/)?)?([^/]+)\.ko(?:\.\w+)?$/;
/** Archives of another kind that some builders put all of it into. */
const INNER = /(?:squash|erofs)-?(?:fs)?-?root\.img$|root\.squash(?:fs)?$/;

export interface Held {
  /** Names as the kernel has them, with low lines. */
  readonly modules: ReadonlySet<string>;
  /** Versions of the kernels that they belong to. */
  readonly kernels: ReadonlySet<string>;
  /** Why there may be more in it than was seen, as the end of a sentence; undefined where all of it was. */
  readonly unread?: string;
}

/** The modules in an initramfs: archives one behind the other, of which the last one is packed mostly. */
export async function modulesHeld(source: Source, signal?: AbortSignal): Promise<Held> {
  const modules = new Set<string>();
  const kernels = new Set<string>();
  let inner: string | undefined;
  const see = (name: string): void => {
    const [, kernel, module] = MODULE.exec(name) ?? [];
    if (module !== undefined && modules.size < MAX_MODULES) {
      modules.add(module.replaceAll('-', '_'));
      if (kernel !== undefined) kernels.add(kernel);
    }
    if (INNER.test(name)) inner ??= `its files lie in ${printable(name)} inside it, which is not read`;
  };
  const bytes = new Uint8Array(Math.min(source.size, MAX_PACKED));
  const gaps = await source.read(0, bytes);
  const end = gaps.reduce((least, { offset }) => Math.min(least, offset), bytes.length);
  const there = bytes.subarray(0, end);
  const lost =
    end < bytes.length
      ? `its bytes are missing from ${end} on`
      : source.size > MAX_PACKED
        ? `only its first ${MAX_PACKED} bytes are read`
        : undefined;
  const unread = (await namesIn(there, see, signal)) ?? inner;
  const why = unread === undefined ? undefined : (lost ?? unread);
  return { modules, kernels, ...(why !== undefined && { unread: why }) };
}

/** Why not all names were seen; undefined where they were. */
async function namesIn(
  bytes: Uint8Array,
  see: (name: string) => void,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const outer = new CpioNames(see);
  const plain = outer.feed(bytes);
  if (plain >= bytes.length) return outer.isWhole ? undefined : 'its archive has no end';
  const packing = packingAt(bytes, plain);
  if (packing === undefined) return `at byte ${plain} of it stands nothing that a kernel starts with`;
  if (packing.unpack === undefined) return `it is packed with ${packing.what}, which is not read`;
  return unpackedNames(bytes.subarray(plain), packing, see, signal);
}

async function unpackedNames(
  bytes: Uint8Array,
  { what, unpack }: Packing,
  see: (name: string) => void,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const names = new CpioNames(see);
  let made = 0;
  let turn = TURN;
  for await (const piece of unpack!(bytes)) {
    made += piece.length;
    if (made > turn) {
      turn = made + TURN;
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted === true) return 'reading it was stopped';
    }
    if (names.feed(piece) < piece.length) return `what is packed in it (${what}) is damaged`;
    if (made > MAX_UNPACKED) return `only the first ${MAX_UNPACKED} bytes of what is packed in it are read`;
  }
  return names.isWhole
    ? undefined
    : `what is packed in it (${what}) is damaged or cut off behind the first ${made} bytes that it gives`;
}
