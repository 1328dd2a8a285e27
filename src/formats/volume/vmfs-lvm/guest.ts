/**
 * File systems of another kind in the partition of a VMFS member. VMFS leaves its first MiB as it was, so what stands
 * there may be older as well as newer; the two may have had different clocks.
 */
import type { Damage } from '../../../core/damage.ts';
import type { Cx } from '../../../core/format.ts';
import { slice } from '../../../core/map-source.ts';
import { Mask } from '../../../core/mask.ts';
import { INFERRED, type Why } from '../../../core/run.ts';
import type { Source } from '../../../core/source.ts';
import { guestMade, maskGuest } from '../../filesystem/allocated/mask.ts';
import { isWholeXfs } from '../../filesystem/allocated/signs.ts';
import { heartbeatsAt } from '../../filesystem/vmfs/traces.ts';
import type { Member } from './member.ts';
import { DATA_AT } from './structs.ts';

/** Heartbeats that stand where the other file system says it wrote: chance makes none. */
const ENOUGH = 16;

/** A member as far as it is still its own, with what there is to say of it. */
export async function withoutGuest(member: Member, damage: Damage[], cx: Cx): Promise<Member> {
  const mask = new Mask('a newer file system in the same partition');
  if (!(await maskGuest(member.source, mask)))
    return (await isWholeXfs(member.source)) ? besideXfs(member, damage, cx) : member;
  mask.seal();
  const older = await isOlder(member);
  if (older && (await stands(member.source, mask))) return member;
  const code = older ? 'vmfs-lvm.guest' : 'vmfs-lvm.newer';
  const what = older
    ? 'a partition with traces of another file system'
    : 'a partition that a newer file system lives in';
  const actual = older ? 'a file system that says it was made before' : 'a newer file system';
  const effect = older
    ? 'nothing shows what of it is newer, so all is inferred'
    : 'what it wrote is missing, what it took is guessed, and all else is inferred';
  damage.push({
    ...cx.damage(0, code, 'nothing before the LVM header', actual, effect),
    at: `${member.locator}@0`,
  });
  const why: Why = { what, source: member.source, at: 0, code };
  const bytes = older ? member.source : mask.over(member.source);
  return { ...member, source: slice(bytes, 0, bytes.size, INFERRED, why) };
}

/** XFS does not say when it was made, and leaves most of what was there before: it may be newer as well as older. */
function besideXfs(member: Member, damage: Damage[], cx: Cx): Member {
  const code = 'vmfs-lvm.guest';
  const effect = 'nothing shows which of the two is newer, so all is inferred';
  const said = cx.damage(0, code, 'nothing before the LVM header', 'an XFS with all of its superblocks', effect);
  damage.push({ ...said, at: `${member.locator}@0` });
  const why: Why = { what: 'a partition with an XFS in it as well', source: member.source, at: 0, code };
  return { ...member, source: slice(member.source, 0, member.source.size, INFERRED, why) };
}

/** Whether the file system that starts where a member starts says that it was made before the member was. */
export async function isOlder(member: Member): Promise<boolean> {
  const made = member.headerLost ? undefined : await guestMade(member.source);
  return made !== undefined && made < member.header.created / 1_000_000;
}

/** Whether heartbeats of VMFS stand in places that the other one has written, so that it did so before. */
async function stands(source: Source, mask: Mask): Promise<boolean> {
  let count = 0;
  for (const at of await heartbeatsAt(source, DATA_AT)) if (await mask.isWritten(source, at)) count++;
  return count >= ENOUGH;
}
