/** Whether guests run on the processor itself here: tried, because a device that is there may still not work. */
import { spawn } from 'node:child_process';
import { kvmRefused, QEMU } from './host.ts';

export const ACCELERATORS = ['auto', 'kvm', 'tcg'] as const;
export type Wish = (typeof ACCELERATORS)[number];

/** How guests run: arguments of qemu, and why these. */
export interface Accelerator {
  readonly args: readonly string[];
  readonly value: string;
  readonly reason: string;
}

/** Milliseconds in which firmware comes to its end where all is well; nested without help of the processor it takes more. */
const PATIENCE = 2000;
/** Processors to try. Inside some clouds the second is what can be started. */
const PROCESSORS = ['max', 'max,arch-capabilities=off'];
const EMULATED: readonly string[] = ['-accel', 'tcg', '-cpu', 'max'];

/** The best that runs here, or what is asked for. */
export async function accelerator(wish: Wish): Promise<Accelerator> {
  if (wish === 'tcg') return { args: EMULATED, value: 'emulated', reason: 'as asked for' };
  const refused = wish === 'kvm' ? undefined : kvmRefused();
  if (refused !== undefined) return { args: EMULATED, value: 'emulated', reason: `${refused}, so it is slow` };
  for (const processor of PROCESSORS) {
    const args = ['-accel', 'kvm', '-cpu', processor];
    if (await runs(args)) return { args, value: 'kvm', reason: '/dev/kvm works' };
  }
  if (wish === 'kvm') return { args: ['-accel', 'kvm', '-cpu', PROCESSORS[0]], value: 'kvm', reason: 'as asked for' };
  return { args: EMULATED, value: 'emulated', reason: '/dev/kvm is there, but firmware alone fails on it or crawls' };
}

/** What the firmware says at its end on its debug port, where there is no disk. */
const LAST_WORD = 'No bootable device';

/** Whether firmware alone runs, and as fast as it does everywhere. */
function runs(args: readonly string[]): Promise<boolean> {
  const port = ['-chardev', 'stdio,id=port', '-device', 'isa-debugcon,iobase=0x402,chardev=port'];
  const all = ['-nodefaults', '-no-user-config', '-machine', 'pc', '-m', '16', '-display', 'none', ...args, ...port];
  return new Promise((resolve) => {
    const child = spawn(QEMU, all, { stdio: ['ignore', 'pipe', 'ignore'] });
    const end = (answer: boolean): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      resolve(answer);
    };
    const timer = setTimeout(() => end(false), PATIENCE);
    let text = '';
    child.stdout.on('data', (bytes: Buffer) => {
      text = (text + bytes.toString('latin1')).slice(-4096);
      if (text.includes(LAST_WORD)) end(true);
    });
    child.on('error', () => end(false));
    child.on('exit', () => end(false));
  });
}
