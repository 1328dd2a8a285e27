/** An XFS volume in its last state: where it was not unmounted, as its log has it. */
import type { Cx } from '../../../core/format.ts';
import type { Source } from '../../../core/source.ts';
import { type Geometry, primary } from './geometry.ts';
import { pending, records } from './log.ts';
import { replay } from './replay.ts';
import { Volume } from './volume.ts';

const LOG_AT = 48;

/** Opens `source` as a mount would leave it; what its log does not tell for certain makes all of it inferred. */
export async function recovered(
  source: Source,
  geometry: Geometry,
  cx: Cx,
): Promise<{ readonly volume: Volume; readonly notices: readonly string[] }> {
  const own = geometry.isDoubtful ? 'xfs.super' : geometry.doubt;
  const log = await records(source, geometry);
  if (log === undefined) {
    const notice = 'its log cannot be read, so its last changes may be in the log only, and all of it is inferred';
    return { volume: new Volume(source, geometry, cx, own ?? 'xfs.log'), notices: [notice] };
  }
  const waiting = await pending(source, geometry, log);
  if (waiting.isUnmounted && waiting.doubt === undefined)
    return { volume: new Volume(source, geometry, cx, own), notices: [] };
  const done = await replay(source, geometry, log, waiting);
  const now = geometry.isDoubtful ? undefined : await primary(done.source);
  const doubt = own ?? done.doubt ?? (now?.isDoubtful === false ? undefined : 'xfs.log.super');
  const volume = new Volume(done.source, now ?? geometry, cx, doubt);
  const notices = [
    `It was not unmounted; ${done.transactions} transactions are read from its log, as a mount would put them in place.`,
  ];
  if (doubt !== undefined && doubt !== own) {
    const actual = `one that is followed for ${done.transactions} transactions`;
    const effect = 'the last changes are not all known, so all of the volume is inferred';
    volume.damage.push(cx.damage(LOG_AT, doubt, 'a log that can be followed to its end', actual, effect));
    notices.push('Its log cannot be followed to its end, so all of it is inferred.');
  }
  return { volume, notices };
}
