/** Evidence over WebDAV: what a client gets is what was made, what is missing is never made up, and strangers get nothing. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import * as http from 'node:http';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { paced } from '../../src/serve/dav/app.ts';
import { hrefOf, rawOfSegment, segmentFor, segmentsOf } from '../../src/serve/dav/names.ts';
import { type DavServing, serveDav } from '../../src/serve/dav/server.ts';
import { wantedBy } from '../../src/serve/dav/xml.ts';
import { Stack } from '../../src/stack/stack.ts';
import { outcome } from '../cli/salvor.ts';
import { missing } from '../make/check/peers.ts';
import { deleteFile } from '../make/damage.ts';
import { writeImages } from '../make/images.ts';
import { makeSample, type Sample } from '../make/sample.ts';
import { small5 } from '../make/stores.ts';
import { type Answer, type Asked, ask } from './client.ts';

const P1 = '/datastore.img/p1';
/** A file of the small store that loses its entry, not its descriptor. */
const LOST = '/kinds/blocks';
let dir: string;
let sample: Sample;
let stack: Stack;
let dav: DavServing;
let zeros: DavServing;
let free: DavServing;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'salvor-dav-'));
  sample = await makeSample(join(dir, 'sample'));
  const folder = join(dir, 'recovered');
  mkdirSync(join(folder, '.salvor'), { recursive: true });
  writeFileSync(join(folder, 'übrig.txt'), 'recovered\n');
  stack = new Stack([sample.images[0], folder], { only: true });
  dav = await serveDav(stack, { lost: 'error' });
  zeros = await serveDav(stack, { lost: 'zeros' });
  free = await serveDav(stack, { lost: 'error', isOpen: true });
});

afterAll(async () => {
  for (const one of [dav, zeros, free]) await one.close();
  stack.close();
  rmSync(dir, { recursive: true, force: true });
});

const basic = ({ token }: DavServing, name = 'anybody'): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(`${name}:${token}`).toString('base64')}`,
});

function request(path: string, more: Partial<Asked> = {}, serving: DavServing = dav): Promise<Answer> {
  return ask(serving.port, { path, ...more, headers: { ...basic(serving), ...more.headers } });
}

async function list(path: string, serving: DavServing = dav): Promise<string[]> {
  const { status, body } = await request(path, { method: 'PROPFIND', headers: { depth: '1' } }, serving);
  expect(status).toBe(207);
  return [...body.toString().matchAll(/<D:href>([^<]*)</g)].map(([, href]) => href).slice(1);
}

/** A GET that may be cut: what came, and whether all of it did. */
function got(path: string, serving: DavServing): Promise<{ bytes: Buffer; whole: boolean }> {
  return new Promise((resolve, reject) => {
    const asked = { host: '127.0.0.1', port: serving.port, path, headers: basic(serving), agent: false };
    const client = http.request(asked, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', () => undefined);
      response.on('close', () => resolve({ bytes: Buffer.concat(parts), whole: response.complete }));
    });
    client.on('error', reject);
    client.end();
  });
}

/** Files below a collection, not those that are views of others. */
async function everyFile(path: string, serving: DavServing): Promise<string[]> {
  const out: string[] = [];
  for (const href of await list(path, serving)) {
    if (!href.endsWith('/')) out.push(href);
    else if (!href.endsWith('/%2Binside/')) out.push(...(await everyFile(href, serving)));
  }
  return out;
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const hrefFor = (rawPath: string): string => {
  const names = Buffer.from(rawPath, 'hex').toString('latin1').split('/').slice(1);
  return P1 + hrefOf(names.map(segmentFor), false);
};

test('every file of the sample, by every name that there is', async () => {
  for (const file of sample.truth.files.filter(({ kind }) => kind === 'file')) {
    const href = hrefFor(file.rawPath);
    const { bytes, whole } = await got(href, dav);
    if (file.gaps.length === 0) {
      expect({ path: file.path, whole, sha: sha256(bytes) }).toEqual({
        path: file.path,
        whole: true,
        sha: file.sha256,
      });
    } else {
      // Not one byte more than what stands before the gap.
      expect({ path: file.path, whole, size: bytes.length }).toEqual({
        path: file.path,
        whole: false,
        size: file.gaps[0][0],
      });
    }
    const listed = await list(`${href.slice(0, href.lastIndexOf('/'))}/`);
    expect(listed).toContain(href);
  }
});

test('what is missing: an end, or zeros that were asked for and are counted', async () => {
  const cut = sample.truth.files.find(({ gaps }) => gaps.length > 0)!;
  const [[at, length]] = cut.gaps;
  const href = hrefFor(cut.rawPath);
  const inside = await request(href, { headers: { range: `bytes=${at}-${at + 99}` } });
  expect(inside.status).toBe(500);
  expect(inside.body.toString()).toContain(`Bytes from ${at} on are missing`);
  const filled = await request(href, { headers: { range: `bytes=${at - 10}-${at + length - 1}` } }, zeros);
  expect(filled.status).toBe(206);
  expect(filled.headers['salvor-missing']).toBe(String(length));
  expect(filled.body.subarray(10).every((byte) => byte === 0)).toBe(true);
  const before = await request(href, { headers: { range: `bytes=${at - 10}-${at - 1}` } }, zeros);
  expect(before.headers['salvor-missing']).toBeUndefined();
});

test('ranges, and the headers of bytes of evidence', async () => {
  const whole = await request(`${P1}/web01/web01.vmx`);
  expect(whole.headers['content-type']).toBe('application/octet-stream');
  expect(whole.headers['content-disposition']).toMatch(/^attachment/);
  expect(whole.headers['x-content-type-options']).toBe('nosniff');
  expect(whole.headers['content-security-policy']).toMatch(/^sandbox; default-src 'none'/);
  const size = whole.body.length;
  const part = await request(`${P1}/web01/web01.vmx`, { headers: { range: 'bytes=10-19' } });
  expect(part).toMatchObject({ status: 206, headers: { 'content-range': `bytes 10-19/${size}` } });
  expect(part.body.equals(whole.body.subarray(10, 20))).toBe(true);
  const tail = await request(`${P1}/web01/web01.vmx`, { headers: { range: 'bytes=-5' } });
  expect(tail.body.equals(whole.body.subarray(-5))).toBe(true);
  const far = await request(`${P1}/web01/web01.vmx`, { headers: { range: `bytes=1-${'9'.repeat(20)}` } });
  expect(far).toMatchObject({ status: 206, headers: { 'content-range': `bytes 1-${size - 1}/${size}` } });
  const head = await request(`${P1}/web01/web01.vmx`, { method: 'HEAD' });
  expect(head).toMatchObject({ status: 200, headers: { 'content-length': String(size) } });
  expect(head.body).toHaveLength(0);
  for (const range of [
    'bytes=9-3',
    `bytes=${size}-`,
    'bytes=0-1,2-3',
    'lines=0-1',
    'bytes=-',
    `bytes=${'9'.repeat(17)}-`,
  ])
    expect((await request(`${P1}/web01/web01.vmx`, { headers: { range } })).status).toBe(416);
});

test('sources, disks, what is in them, and a recovered folder', async () => {
  expect(await list('/')).toEqual(['/datastore.img/', '/recovered/']);
  expect(await list('/recovered/')).toEqual(['/recovered/.salvor/', '/recovered/%C3%BCbrig.txt']);
  expect((await got('/recovered/%C3%BCbrig.txt', dav)).bytes.toString()).toBe('recovered\n');
  expect(await list(`${P1}/web01/`)).toContain(`${P1}/web01/%2Binside/`);
  const disks = await list(`${P1}/web01/%2Binside/`);
  expect(disks).toContain(`${P1}/web01/%2Binside/web01-000001.vmdk/`);
  const inside = await list(`${P1}/web01/%2Binside/web01.vmdk/`);
  expect(inside).toContain(`${P1}/web01/%2Binside/web01.vmdk/%2Bbytes.raw`);
  const flat = sample.truth.files.find(({ path }) => path === '/web01/web01-flat.vmdk')!;
  expect(sha256((await got(`${P1}/web01/%2Binside/web01.vmdk/%2Bbytes.raw`, dav)).bytes)).toBe(flat.sha256);
});

test('what the root shows, with what lost its directory last', async () => {
  const names = (await list(`${P1}/`)).map((href) => href.slice(P1.length + 1));
  expect(names).toEqual(expect.arrayContaining(['web01/', 'db01/', 'notes/', '.fdc.sf']));
  expect(names).not.toContain('%2Borphan/');
  const made = small5();
  const [image] = await writeImages(made, dir);
  const file = openSync(image, 'r+');
  for (const { at, bytes } of deleteFile(made, LOST, 'E')) writeSync(file, bytes, 0, bytes.length, at);
  closeSync(file);
  const lost = new Stack([image], { only: true });
  const serving = await serveDav(lost, { lost: 'error' });
  const root = await list(`/${basename(image)}/p1/`, serving);
  expect(root.at(-1)).toMatch(/\/p1\/%2Borphan\/$/);
  const found = await everyFile(root.at(-1)!, serving);
  const { sha256: sha } = made.truth.files.find(({ path }) => path === LOST)!;
  const shas = await Promise.all(found.map(async (href) => sha256((await got(href, serving)).bytes)));
  expect(shas).toContain(sha);
  await serving.close();
  lost.close();
});

test('a listing that takes long says so, and leaves nothing out', async () => {
  async function* slow(): AsyncGenerator<number> {
    yield 1;
    await new Promise((resolve) => setTimeout(resolve, 2500));
    yield 2;
  }
  const out: (number | undefined)[] = [];
  for await (const one of paced(slow())) out.push(one);
  expect(out).toEqual([1, undefined, 2]);
});

test('asked for by name: what is there, and what is not', async () => {
  const body =
    '<?xml version="1.0"?><!-- x --><p:propfind xmlns:p="DAV:" xmlns:q="urn:&lt;"><p:prop><p:getcontentlength/><q:odd/></p:prop></p:propfind>';
  const asked = { method: 'PROPFIND', headers: { depth: '0' }, body };
  const { status, body: said } = await request(`${P1}/notes/empty.txt`, asked);
  expect(status).toBe(207);
  expect(said.toString()).toContain('<D:getcontentlength>0</D:getcontentlength>');
  expect(said.toString()).toMatch(/xmlns:x="urn:&amp;lt;"\/>.*404 Not Found/);
  expect(wantedBy('')).toBe('all');
  expect(wantedBy('<propfind xmlns="DAV:"><propname/></propfind>')).toBe('names');
});

test('locks bind nobody, and let clients read that insist on them', async () => {
  const body = '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope></D:lockinfo>';
  const lock = await request(`${P1}/web01/web01.vmx`, { method: 'LOCK', body });
  expect(lock.status).toBe(200);
  expect(lock.headers['lock-token']).toMatch(/^<opaquelocktoken:/);
  expect((await request(`${P1}/web01/web01.vmx`, { method: 'UNLOCK' })).status).toBe(204);
  expect((await request(`${P1}/nothing`, { method: 'LOCK', body })).status).toBe(404);
});

test.each(['PUT', 'DELETE', 'MKCOL', 'COPY', 'MOVE', 'PROPPATCH', 'POST', 'PATCH', 'MKCALENDAR'])(
  '%s is refused with a sentence',
  async (method) => {
    const { status, body } = await request(`${P1}/web01/web01.vmx`, {
      method,
      ...(method !== 'DELETE' && { body: 'x'.repeat(200_000) }),
      headers: { destination: '/x' },
    });
    expect({ status, said: body.toString() }).toEqual({
      status: 403,
      said: expect.stringContaining('nothing here can be changed'),
    });
  },
);

const bomb = `<!DOCTYPE a [<!ENTITY b "${'x'.repeat(99)}">]><propfind xmlns="DAV:"><prop><a>&b;</a></prop></propfind>`;
const deep = `<propfind xmlns="DAV:">${'<prop>'.repeat(2000)}`;
const PROPFIND = { method: 'PROPFIND', headers: { depth: '0' } };
const REFUSED: [string, () => Promise<Answer>, number[]][] = [
  ['no token', () => ask(dav.port, { path: '/' }), [401]],
  ['another token', () => request('/', { headers: { authorization: 'Basic YTpi' } }), [401]],
  [
    'the token as the name',
    () => request('/', { headers: { authorization: `Basic ${btoa(`${dav.token}:`)}` } }),
    [401],
  ],
  [
    'half of the token',
    () => request('/', { headers: { authorization: `Basic ${btoa(`a:${dav.token!.slice(9)}`)}` } }),
    [401],
  ],
  ['the token of another server', () => request('/', { headers: basic(zeros) }), [401]],
  ['no pair', () => request('/', { headers: { authorization: `Basic ${btoa(dav.token!)}` } }), [401]],
  ['a rebound name', () => request('/', { headers: { host: 'evil.example' } }), [403]],
  [
    'a rebound name where no token is asked for',
    () => ask(free.port, { path: '/', headers: { host: `evil.example:${free.port}` } }),
    [403],
  ],
  ['a page of another site', () => ask(free.port, { path: '/', headers: { origin: 'http://evil.example' } }), [403]],
  [
    'a picture in a page of another site',
    () => ask(free.port, { path: '/', headers: { 'sec-fetch-site': 'cross-site' } }),
    [403],
  ],
  ['a page on another port', () => ask(free.port, { path: '/', headers: { 'sec-fetch-site': 'same-site' } }), [403]],
  ['above the top', () => request('/../../etc/passwd'), [404]],
  ['above the top, escaped', () => request('/%2e%2e/%2e%2e/etc/passwd'), [404]],
  ['above a folder of this machine', () => request('/recovered/%2e%2e/sample/truth.json'), [404]],
  ['above it, escaped twice', () => request('/recovered/%252E%252E/sample/truth.json'), [404]],
  ['a separator in a name', () => request('/recovered/..%2fsample%2ftruth.json'), [400]],
  ['a backslash in a name', () => request('/recovered/..%5csample%5ctruth.json'), [404]],
  ['an absolute path in a name', () => request('/%2Fetc%2Fpasswd'), [400]],
  ['NUL in a name', () => request('/recovered/a%00b'), [400]],
  ['escapes that are no UTF-8', () => request('/recovered/%ff%fe'), [400]],
  ['a path of many levels', () => request('/a'.repeat(1000)), [400]],
  ['a long path', () => request(`/${'a'.repeat(15_900)}`), [400, 404, 431]],
  ['a file as a folder', () => request('/recovered/%C3%BCbrig.txt/x'), [404]],
  ['a folder that is not', () => request('/nothing/', PROPFIND), [404]],
  ['all levels', () => request('/', { method: 'PROPFIND' }), [403]],
  ['all levels, by name', () => request('/', { method: 'PROPFIND', headers: { depth: 'infinity' } }), [403]],
  ['entities', () => request('/', { ...PROPFIND, body: bomb }), [400]],
  ['elements without an end', () => request('/', { ...PROPFIND, body: deep }), [400]],
  [
    'a thousand properties',
    () => request('/', { ...PROPFIND, body: `<propfind xmlns="DAV:"><prop>${'<a/>'.repeat(400)}</prop></propfind>` }),
    [400],
  ],
  ['no XML', () => request('/', { ...PROPFIND, body: '{"a":1}' }), [400]],
  ['a prefix that is not declared', () => request('/', { ...PROPFIND, body: '<z:propfind/>' }), [400]],
  ['a huge body', () => request('/', { ...PROPFIND, body: ' '.repeat(200_000) }), [413]],
];

test.each(REFUSED)('refused: %s', async (_, send, statuses) => {
  const { status, body, headers } = await send();
  expect(statuses).toContain(status);
  expect(body.toString()).not.toMatch(/root:|"rawPath"|fault of the program/);
  expect(headers['x-content-type-options']).toBe('nosniff');
  expect(headers['cache-control'] ?? 'no-store').toBe('no-store');
});

test('without a password, where that was asked for, this machine may look', async () => {
  expect((await ask(free.port, { path: '/', method: 'PROPFIND', headers: { depth: '1' } })).status).toBe(207);
  expect(free.token).toBeUndefined();
});

test('two hundred connections and clients that leave in the middle do no harm', async () => {
  const sockets = Array.from({ length: 200 }, () => net.connect(dav.port, '127.0.0.1'));
  for (const socket of sockets) socket.on('error', () => undefined).resume();
  const flat = `GET ${P1}/web01/web01-flat.vmdk HTTP/1.1\r\nHost: 127.0.0.1:${dav.port}\r\nAuthorization: ${basic(dav).authorization}\r\n\r\n`;
  for (const socket of sockets.slice(0, 20)) socket.write(flat);
  await new Promise((resolve) => setTimeout(resolve, 300));
  for (const socket of sockets) socket.destroy();
  await expect.poll(async () => (await request('/').catch(() => undefined))?.status).toBe(200);
});

test.each([
  'plain',
  '.',
  '..',
  '%',
  '%41',
  '100% sure: a::b @ 4096',
  '+deleted',
  'tab\there',
  'caf\xe9',
  'a/b',
  'a\\b',
  'a;2',
  '%2B',
  '%a%b',
  '%25',
  ' ',
  '<&">',
])('a name of evidence has one segment, and that leads back: %j', (raw) => {
  const segment = segmentFor(raw);
  expect(segment).not.toMatch(/[/\\\p{Cc}]|^\.{1,2}$/u);
  expect(segmentsOf(hrefOf([segment], false))).toEqual([segment]);
  expect(rawOfSegment(segment)).toBe(raw);
});

const absent = missing('cadaver');
describe.skipIf(absent !== undefined)(`cadaver${absent === undefined ? '' : ` (${absent})`}`, () => {
  test('lists and gets, and is told that nothing can be written', async () => {
    const target = join(dir, 'got.vmx');
    writeFileSync(join(dir, 'netrc'), '');
    const commands = `ls ${P1.slice(1)}/notes\nget ${P1.slice(1)}/web01/web01.vmx ${target}\nput ${join(dir, 'netrc')} ${P1.slice(1)}/x\nquit\n`;
    const child = spawn('cadaver', [free.address], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, HOME: dir },
    });
    child.stdin.end(commands);
    const { out } = await outcome(child, 20_000);
    expect(out).toContain('100% sure: a::b @ 4096.txt');
    expect(out).toMatch(/Uploading[^\n]*[\s\S]*403 Forbidden/);
    const truth = sample.truth.files.find(({ path }) => path === '/web01/web01.vmx')!;
    expect(sha256(readFileSync(target))).toBe(truth.sha256);
  });
});
