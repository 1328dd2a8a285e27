/** A child process of the server: it parses evidence, so it may hang or fall, and the server lives on. */
import { removeRunFolders } from '../export/run-folder.ts';
import { faultOf } from './faults.ts';
import { devicesOf } from './host-devices.ts';
import type { FromChild, ToChild } from './messages.ts';
import { ops } from './ops.ts';
import { Session } from './session.ts';
import { work } from './work.ts';

/** Progress that is sent each second, at most. */
const PROGRESS_MS = 100;

const abort = new AbortController();
let session: Session | undefined;

function send(message: FromChild): void {
  process.send?.(message);
}

async function take(message: ToChild): Promise<void> {
  if (message.kind === 'stop') return abort.abort();
  if (message.kind === 'open') {
    session = await Session.begin(message.opening, abort.signal);
    return send({ kind: 'opened' });
  }
  if (message.kind === 'ask' && message.op === 'devices')
    return send({ kind: 'answer', id: message.id, value: await devicesOf() });
  if (session === undefined) throw new Error('nothing is open yet');
  if (message.kind === 'ask') {
    const op = Object.hasOwn(ops, message.op) ? ops[message.op] : undefined;
    if (op === undefined) throw new Error(`there is no question "${message.op}"`);
    return send({ kind: 'answer', id: message.id, value: await op(session, message.args as never, abort.signal) });
  }
  let last = 0;
  const report = (progress: Readonly<Record<string, number | string>>): void => {
    const now = performance.now();
    if (now - last < PROGRESS_MS) return;
    last = now;
    send({ kind: 'progress', progress });
  };
  const { stopped, said, result } = await work(session, message.job, report, abort.signal);
  session.close();
  send({ kind: 'ended', stopped, said, ...(result !== undefined && { result }) });
}

process.on('message', (message: ToChild) => {
  take(message).catch((error: unknown) => {
    send({ kind: 'fault', ...(message.kind === 'ask' && { id: message.id }), fault: faultOf(error) });
  });
});
// Without the server there is nobody to work for; what was done is kept already. At once, and with all threads: a
// server that is started again goes on with the same work, and must not meet this one at it.
process.on('disconnect', () => {
  removeRunFolders();
  process.kill(process.pid, 'SIGKILL');
});
// Ctrl-C reaches the whole group: the server says what is to be stopped.
process.on('SIGINT', () => undefined);
