/** A scanning thread: sweeps shard after shard of what main opened, and answers with what it found. */
import { parentPort } from 'node:worker_threads';
import { finders } from '../formats/index.ts';
import { type Shard, sweepShard } from './shard.ts';
import { Sweep } from './sweep.ts';

const sweep = new Sweep(finders);

parentPort?.on('message', (shard: Shard | undefined) => {
  if (shard === undefined) parentPort!.close();
  else parentPort!.postMessage(sweepShard(sweep, shard));
});
