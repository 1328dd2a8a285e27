/** Run with the rights of a child: tries what such a child should and should not do, and prints what it could. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

const dir = process.argv[2];
const could: Record<string, boolean> = {};

function attempt(what: string, action: () => unknown): void {
  try {
    action();
    could[what] = true;
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_ACCESS_DENIED') throw error;
    could[what] = false;
  }
}

attempt('read evidence', () => fs.readFileSync(join(dir, 'evidence/disk.img')));
attempt('read what lies beside it', () => fs.readFileSync(join(dir, 'evidence/disk-flat.vmdk')));
attempt('read the case', () => fs.readdirSync(join(dir, 'case')));
attempt('write in the case', () => fs.writeFileSync(join(dir, 'case/x'), 'x'));
attempt('read a secret', () => fs.readFileSync(join(dir, 'home/secret')));
attempt('read /etc', () => fs.readFileSync('/etc/passwd'));
attempt('write evidence', () => fs.openSync(join(dir, 'evidence/disk.img'), 'r+'));
attempt('write beside evidence', () => fs.writeFileSync(join(dir, 'evidence/new'), 'x'));
attempt('write elsewhere', () => fs.writeFileSync(join(dir, 'home/new'), 'x'));
attempt('start a program', () => spawnSync('true'));
attempt('start a thread', () => new Worker('', { eval: true }));
console.log(JSON.stringify(could));
