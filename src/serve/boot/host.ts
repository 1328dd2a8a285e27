/** What this machine has for starting guests. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

export const QEMU = 'qemu-system-x86_64';

/** EFI firmware as distributions install it: code, and variables in their first state. */
const EFI: readonly (readonly [string, string])[] = [
  ['/usr/share/OVMF/OVMF_CODE_4M.fd', '/usr/share/OVMF/OVMF_VARS_4M.fd'],
  ['/usr/share/OVMF/OVMF_CODE.fd', '/usr/share/OVMF/OVMF_VARS.fd'],
  ['/usr/share/edk2/ovmf/OVMF_CODE.fd', '/usr/share/edk2/ovmf/OVMF_VARS.fd'],
  ['/usr/share/edk2/x64/OVMF_CODE.4m.fd', '/usr/share/edk2/x64/OVMF_VARS.4m.fd'],
];

export interface Host {
  readonly hasQemu: boolean;
  readonly processors: number;
  /** Bytes that are free. */
  readonly memory: number;
  readonly efi: { readonly code: string; readonly variables: string } | undefined;
}

export function hostOf(): Host {
  const efi = EFI.find((files) => files.every((file) => fs.existsSync(file)));
  return {
    hasQemu: isInstalled(QEMU),
    processors: os.availableParallelism(),
    memory: os.freemem(),
    efi: efi && { code: efi[0], variables: efi[1] },
  };
}

/** Whether a program of that name is in the search path. */
export function isInstalled(program: string): boolean {
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter((folder) => folder !== '');
  return folders.some((folder) => canRun(path.join(folder, program)));
}

function canRun(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Why the kernel's virtualisation cannot even be tried; undefined where it can. */
export function kvmRefused(): string | undefined {
  if (!fs.existsSync('/dev/kvm')) return 'there is no /dev/kvm';
  try {
    fs.accessSync('/dev/kvm', fs.constants.R_OK | fs.constants.W_OK);
    return undefined;
  } catch {
    return '/dev/kvm may not be used by this user';
  }
}
