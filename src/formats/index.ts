/** The one list of formats. A new one is a line here. */
import type { Format } from '../core/format.ts';
import { vmdk } from './disk/vmdk/index.ts';
import { vmfs } from './filesystem/vmfs/index.ts';
import { vmx } from './machine/vmx.ts';
import { gpt } from './volume/gpt.ts';
import { lost } from './volume/lost.ts';
import { mbr } from './volume/mbr.ts';
import { vmfsLvm } from './volume/vmfs-lvm/index.ts';

export const formats: readonly Format[] = [gpt, mbr, vmfsLvm, vmfs, vmdk, vmx, lost];
