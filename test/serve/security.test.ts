/** What strangers try on the server; all of it is refused. */
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Asked, ask, Served } from './client.ts';

const served = new Served();
const strict = new Served();
let evidence: string;

beforeAll(async () => {
  evidence = join(served.dir, 'evidence');
  mkdirSync(evidence, { recursive: true });
  writeFileSync(join(evidence, 'note.txt'), 'what is in the evidence\n');
  writeFileSync(join(served.dir, 'secret.txt'), 'what is not\n');
  await served.begin([evidence]);
  await strict.begin([], { slow: 400 });
});

afterAll(async () => {
  await served.end();
  await strict.end();
});

/** A request that would be answered; each case spoils one thing of it. */
function good(): Asked & { headers: Record<string, string> } {
  return { path: '/api/tree', headers: { ...served.bearer } };
}

function change(value: unknown, path = '/api/jobs'): Asked & { headers: Record<string, string>; body: string } {
  const body = JSON.stringify(value);
  const headers = {
    ...served.bearer,
    'content-type': 'application/json',
    'content-length': `${Buffer.byteLength(body)}`,
  };
  return { method: 'POST', path, headers, body };
}

const spoiled =
  (headers: Record<string, string>, from: () => Asked = good) =>
  (): Asked => {
    const asked = from();
    return { ...asked, headers: { ...asked.headers, ...headers } };
  };
const at = (path: string) => (): Asked => ({ ...good(), path });
const named = (locator: string, op = 'bytes') => at(`/api/${op}?locator=${encodeURIComponent(locator)}`);
const scan = (): Asked => change({ job: { kind: 'scan', options: {} } });

const CASES: [string, () => Asked, number[]][] = [
  ['a rebound name as host', spoiled({ host: 'evil.example' }), [403]],
  ['a rebound name with the port', () => spoiled({ host: `evil.example:${served.serving.port}` })(), [403]],
  ['the right name with another port', spoiled({ host: '127.0.0.1:1' }), [403]],
  [
    'a host that only begins like ours',
    () => spoiled({ host: `127.0.0.1:${served.serving.port}.evil.example` })(),
    [400, 403],
  ],
  ['another address of this machine', () => spoiled({ host: `0.0.0.0:${served.serving.port}` })(), [403]],
  ['no token', () => ({ path: '/api/tree' }), [401]],
  ['a token of an earlier run', spoiled({ authorization: `Bearer ${'A'.repeat(43)}` }), [401]],
  ['half of the token', () => spoiled({ authorization: `Bearer ${served.serving.token.slice(0, 20)}` })(), [401]],
  ['the token with more behind it', () => spoiled({ authorization: `Bearer ${served.serving.token}x` })(), [401]],
  ['the token as another kind of secret', () => spoiled({ authorization: `Basic ${served.serving.token}` })(), [401]],
  [
    'a cookie of an earlier run',
    () => ({ path: '/api/tree', headers: { cookie: `salvor-${served.serving.port}=old` } }),
    [401],
  ],
  [
    'the token as the cookie',
    () => ({ path: '/api/tree', headers: { cookie: `salvor-${served.serving.port}=${served.serving.token}` } }),
    [401],
  ],
  ['the token in the address', () => ({ path: `/api/tree?token=${served.serving.token}` }), [401]],
  ['events without the token', () => ({ path: '/api/events' }), [401]],
  ['bytes without the token', () => ({ path: '/api/bytes?locator=x' }), [401]],
  ['the report without the token', () => ({ path: '/api/report' }), [401]],
  ['another origin', spoiled({ origin: 'http://evil.example' }), [403]],
  ['an origin of another port', spoiled({ origin: 'http://127.0.0.1:1' }), [403]],
  ['no origin at all, said as null', spoiled({ origin: 'null' }), [403]],
  ['https in place of http', () => spoiled({ origin: `https://127.0.0.1:${served.serving.port}` })(), [403]],
  ["a cross-site request by the browser's own word", spoiled({ 'sec-fetch-site': 'cross-site' }), [403]],
  ['a same-site request from another port', spoiled({ 'sec-fetch-site': 'same-site' }), [403]],
  ['a change from another origin', spoiled({ origin: 'http://evil.example' }, scan), [403]],
  ['a change as a form', spoiled({ 'content-type': 'application/x-www-form-urlencoded' }, scan), [415]],
  ['a change as plain text', spoiled({ 'content-type': 'text/plain' }, scan), [415]],
  [
    'a change that is no JSON',
    () => ({ ...scan(), body: '{"job"', headers: { ...scan().headers, 'content-length': '6' } }),
    [400],
  ],
  ['a change that is too long', () => spoiled({ 'content-length': '99999999' }, scan)(), [413]],
  ['a change by another method', () => ({ ...scan(), method: 'PUT' }), [405]],
  ['a change by GET', at('/api/jobs/stop?id=j1'), [404]],
  ['TRACE', () => ({ ...good(), method: 'TRACE' }), [405]],
  ['a path out of the pages', at('/../../../etc/passwd'), [404]],
  ['a path out of the pages, encoded', at('/%2e%2e/%2e%2e/etc/passwd'), [404]],
  ['a path out of the assets', at('/assets/..%2f..%2f..%2fetc%2fpasswd'), [404]],
  ['a locator outside the evidence', named('/etc/passwd'), [404]],
  ['a locator above the evidence', () => named(`${evidence}/../secret.txt`)(), [404]],
  ['a locator above the evidence, escaped', () => named(`${evidence}/%2E%2E/secret.txt`)(), [404]],
  ['a locator with NUL', () => named(`${evidence}/note.txt\0`)(), [400]],
  ['a locator beside the evidence', () => named(`${evidence}x/../secret.txt`, 'hex')(), [400, 404]],
  ['a folder that is relative', at('/api/host/files?path=..%2f..'), [400]],
  ['output at a relative path', () => change({ job: { kind: 'recover', options: { out: '../out' } } }), [400]],
  ['output with NUL', () => change({ job: { kind: 'recover', options: { out: '/tmp/a\0b' } } }), [400]],
  ['a kind of job that is none', () => change({ job: { kind: 'shell', options: { out: '/tmp/x' } } }), [400]],
  ['options that are none', () => change({ job: { kind: 'scan', options: { exec: 'id' } } }), [400]],
  [
    'a range that ends before it starts',
    () => ({ ...named(`${evidence}/note.txt`)(), headers: { ...served.bearer, range: 'bytes=9-3' } }),
    [416],
  ],
  [
    'a range behind the end',
    () => ({ ...named(`${evidence}/note.txt`)(), headers: { ...served.bearer, range: 'bytes=1000-' } }),
    [416],
  ],
  [
    'a thousand ranges',
    () => ({
      ...named(`${evidence}/note.txt`)(),
      headers: { ...served.bearer, range: `bytes=${'0-1,'.repeat(1000)}0-1` },
    }),
    [416],
  ],
  [
    'a range in other units',
    () => ({ ...named(`${evidence}/note.txt`)(), headers: { ...served.bearer, range: 'lines=0-1' } }),
    [416],
  ],
  ['more bytes at once than are given', at(`/api/hex?locator=x&from=0&length=99999999`), [400]],
  [
    'a range of numbers beyond all files',
    () => ({ ...named(`${evidence}/note.txt`)(), headers: { ...served.bearer, range: 'bytes=9999999999999999-' } }),
    [416],
  ],
  [
    'a range with a number that is none',
    () => ({ ...named(`${evidence}/note.txt`)(), headers: { ...served.bearer, range: `bytes=${'9'.repeat(400)}-` } }),
    [416],
  ],
  ['a key of a hive outside the evidence', named('/etc/passwd', 'registry'), [400]],
  [
    'a key of something that is no hive',
    () => at(`/api/registry?key=&locator=${encodeURIComponent(`${evidence}/note.txt`)}`)(),
    [404],
  ],
  [
    'an encoding that is none',
    () => at(`/api/preview?encoding=utf-7&locator=${encodeURIComponent(`${evidence}/note.txt`)}`)(),
    [400],
  ],
  ['a grade that is none', at("/api/search?text=&certainty=stated'--"), [400]],
  ['a page of a million', at('/api/tree?limit=1000000'), [400]],
  ['a search with a very long text', at(`/api/search?text=${'a'.repeat(600)}`), [400]],
  [
    'a session without the token',
    () => ({
      ...change({ sources: ['/etc'] }, '/api/session'),
      headers: { ...change({ sources: ['/etc'] }, '/api/session').headers, authorization: '' },
    }),
    [401],
  ],
  ['a source at a relative path', () => change({ sources: ['../secret.txt'] }, '/api/session'), [400]],
  [
    'a thousand sources',
    () => change({ sources: Array.from({ length: 1000 }, (_, i) => `/x${i}`) }, '/api/session'),
    [400],
  ],
  ['a negative place', at('/api/hex?locator=x&from=-1&length=16'), [400]],
];

test('there are at least forty cases', () => expect(CASES.length).toBeGreaterThanOrEqual(40));

test('what the cases spoil would be answered', async () => {
  expect((await ask(served.serving.port, good())).status).toBe(200);
  const note = await ask(served.serving.port, named(`${evidence}/note.txt`)());
  expect(note.body.toString()).toBe('what is in the evidence\n');
});

test.each(CASES)('refused: %s', async (_, asked, statuses) => {
  const { status, body, headers } = await ask(served.serving.port, asked());
  expect(statuses).toContain(status);
  expect(body.toString()).not.toMatch(/root:|what is not/);
  expect(headers['x-content-type-options']).toBe('nosniff');
});

test('the token is exchanged for a cookie that scripts cannot read and other sites do not send', async () => {
  const login = await ask(served.serving.port, change({ token: served.serving.token }, '/api/login'));
  const [cookie] = login.headers['set-cookie'] ?? [];
  expect(cookie).toMatch(/HttpOnly/);
  expect(cookie).toMatch(/SameSite=Strict/);
  const headers = { cookie: cookie.split(';')[0] };
  expect((await ask(served.serving.port, { path: '/api/tree', headers })).status).toBe(200);
  const wrong = await ask(served.serving.port, change({ token: 'wrong' }, '/api/login'));
  expect(wrong.headers['set-cookie']).toBeUndefined();
  expect(wrong.body.toString()).toBe('{"known":false}');
});

test('bytes of evidence are a download that nothing takes for a page', async () => {
  const { headers } = await ask(served.serving.port, named(`${evidence}/note.txt`)());
  expect(headers['content-type']).toBe('application/octet-stream');
  expect(headers['content-disposition']).toMatch(/^attachment/);
  expect(headers['content-security-policy']).toMatch(/^sandbox; default-src 'none'/);
});

test('only this machine is listened to', () => {
  expect(served.serving.address).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/#[\w-]{43}$/);
});

test('a search with signs of a query language finds names, and changes nothing', async () => {
  for (const text of ["'; DROP TABLE nodes; --", '" OR 1=1', '%', '_', '*', 'NEAR("a" "b")', '\\', '"""', 'a" AND "b'])
    expect((await ask(served.serving.port, at(`/api/search?text=${encodeURIComponent(text)}`)())).status).toBe(200);
  const { body } = await ask(served.serving.port, at('/api/search?text=')());
  expect(JSON.parse(body.toString())).toMatchObject({ rows: [] });
});

test.each([
  ['headers that never end', 'GET / HTTP/1.1\r\nHost: x\r\n'],
  [
    'a body that never comes',
    'POST /api/login HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{',
  ],
  ['nothing at all', ''],
])('a slow client is let go: %s', async (_, text) => {
  const socket = net.connect(strict.serving.port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(text.replace('HOST', `127.0.0.1:${strict.serving.port}`));
  socket.resume();
  await once(socket, 'close');
});

test.each(['', 'Host:\r\n', 'Host: a\r\nHost: b\r\n'])('refused: a request with %j for a host', async (line) => {
  const socket = net.connect(served.serving.port, '127.0.0.1');
  socket.write(`GET /api/tree HTTP/1.0\r\n${line}Authorization: Bearer ${served.serving.token}\r\n\r\n`);
  let text = '';
  socket.on('data', (part: Buffer) => {
    text += part.toString();
  });
  await once(socket, 'close');
  expect(text).toMatch(/^HTTP\/1\.1 40[03] /);
});

test('no more connections are held than the server has room for', async () => {
  const sockets = Array.from({ length: 200 }, () => net.connect(strict.serving.port, '127.0.0.1'));
  for (const socket of sockets) socket.on('error', () => undefined).resume();
  await Promise.all(sockets.map((socket) => once(socket, 'close')));
  expect((await ask(strict.serving.port, { path: '/', headers: {} })).status).toBeGreaterThan(0);
});
