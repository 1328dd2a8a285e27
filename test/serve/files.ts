/** Files of every kind that has a preview, and hostile ones, made from nothing. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { crc32, deflateRawSync } from 'node:zlib';
import { hiveTree, makeHive } from '../make/hive.ts';

/** A PNG of one red point. */
const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==',
  'base64',
);

/** Half a second of silence. */
function wav(): Buffer {
  const data = Buffer.alloc(4000, 128);
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.writeUInt32LE(36 + data.length, 4);
  head.write('WAVEfmt ', 8);
  for (const [i, byte] of [16, 0, 0, 0, 1, 0, 1, 0].entries()) head.writeUInt8(byte, 16 + i);
  head.writeUInt32LE(8000, 24);
  head.writeUInt32LE(8000, 28);
  head.writeUInt16LE(1, 32);
  head.writeUInt16LE(8, 34);
  head.write('data', 36);
  head.writeUInt32LE(data.length, 40);
  return Buffer.concat([head, data]);
}

function zip(members: Readonly<Record<string, string>>): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const [name, text] of Object.entries(members)) {
    const bytes = Buffer.from(text);
    const packed = deflateRawSync(bytes);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(8, 4);
    common.writeUInt32LE(crc32(bytes), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(bytes.length, 18);
    common.writeUInt16LE(name.length, 22);
    parts.push(Buffer.from('PK\x03\x04', 'latin1'), common, Buffer.from(name), packed);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(at, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\x00', 'latin1'), common, rest, Buffer.from(name));
    at += 30 + name.length + packed.length;
  }
  const whole = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 0, 'latin1');
  end.writeUInt16LE(directory.length / 4, 8);
  end.writeUInt16LE(directory.length / 4, 10);
  end.writeUInt32LE(whole.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, whole, end]);
}

/** A document of one page with `text` on it, and `extra` in its catalog. */
export function pdf(text: string, extra = '', annotations = ''): Buffer {
  const stream = `BT /F1 24 Tf 60 700 Td (${text}) Tj ET`;
  const objects = [
    `<< /Type /Catalog /Pages 2 0 R ${extra} >>`,
    '<< /Type /Pages /Kids [3 0 R] /Count 1 >>',
    `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> ${annotations} >>`,
    `<< /Length ${stream.length} >>\nstream\n${stream}\nendstream`,
    '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>',
  ];
  let out = '%PDF-1.7\n';
  const places = objects.map((object, i) => {
    const at = out.length;
    out += `${i + 1} 0 obj\n${object}\nendobj\n`;
    return at;
  });
  const table = places.map((at) => `${String(at).padStart(10, '0')} 00000 n \n`).join('');
  const head = `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${table}`;
  return Buffer.from(
    `${out}${head}trailer << /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${out.length}\n%%EOF\n`,
  );
}

function hive(): Uint8Array {
  const version = { ProductName: 'Windows Server 2022', InstallDate: 1_700_000_000, Blob: Uint8Array.of(1, 2, 254) };
  return makeHive(hiveTree({ 'Microsoft\\Windows NT\\CurrentVersion': version, 'Classes\\.txt': { '': 'txtfile' } }));
}

/** A message in two ways and with a file, as mail programs write it. */
export function letter(): string {
  const lines = [
    'Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000',
    'From: =?utf-8?Q?Ren=C3=A9e?= <renee@example>',
    'To: desk@example',
    'Subject: =?iso-8859-1?B?R3L832U=?=',
    ' =?utf-8?Q?_und_mehr?=',
    'Date: Mon, 1 Jan 2024 00:00:00 +0000',
    'MIME-Version: 1.0',
    'Content-Type: multipart/mixed; boundary="outer"',
    '',
    'This is a message in several parts.',
    '--outer',
    'Content-Type: multipart/alternative; boundary=inner',
    '',
    '--inner',
    'Content-Type: text/plain; charset=iso-8859-1',
    'Content-Transfer-Encoding: quoted-printable',
    '',
    'Die Schl=FCssel liegen beim=',
    ' Empfang.',
    '--inner',
    'Content-Type: text/html; charset=utf-8',
    '',
    '<p>not this one</p>',
    '--inner--',
    '--outer',
    "Content-Type: application/pdf; name*=utf-8''Mietvertrag%20%C3%BC.pdf",
    'Content-Disposition: attachment',
    'Content-Transfer-Encoding: base64',
    '',
    'JVBERi0xLjcK',
    '--outer--',
    '',
  ];
  return lines.join('\r\n');
}

function html(): string {
  return 'From: b@example\nTo: c@example\nSubject: HTML\nContent-Type: text/html\n\n<script>window.__ran=1</script><p>Only&nbsp;words &amp; lines<br>two</p>';
}

/** Writes one file of each kind; answers names with the kind of preview that each has. */
export function writeKinds(dir: string): Readonly<Record<string, string>> {
  mkdirSync(dir, { recursive: true });
  const put = (name: string, bytes: string | Buffer): void => writeFileSync(join(dir, name), bytes);
  put('plain.txt', 'Schlüssel liegt beim Empfang.\n');
  put('wide.txt', Buffer.from('\ufeffwide text\r\n', 'utf16le'));
  put('latin.log', Buffer.from('caf\xe9 closed\n', 'latin1'));
  put('red.png', PNG);
  put('paper.pdf', pdf('Hello'));
  put('sound.wav', wav());
  put('pack.zip', zip({ 'a/one.txt': 'one', 'two.txt': 'two' }));
  put('letter.docx', zip({ 'word/document.xml': '<w:p><w:t>Dear R&amp;D</w:t></w:p>', 'x.xml': '' }));
  put('table.xlsx', zip({ 'xl/sharedStrings.xml': '<sst><si><t>Rent &amp; power</t></si></sst>', 'x.xml': '' }));
  put('talk.pptx', zip({ 'ppt/slides/slide1.xml': '<a:p><a:t>Slide one</a:t></a:p>', 'x.xml': '' }));
  put('note.odt', zip({ mimetype: 'application/vnd.oasis', 'content.xml': '<text:p>Open text</text:p>' }));
  put('bare.txt', Buffer.from('no mark in front of it\r\n', 'utf16le'));
  put('cyrillic.txt', Buffer.from('\xef\xf0\xe8\xe2\xe5\xf2, \xec\xe8\xf0\n', 'latin1'));
  put('SOFTWARE', Buffer.from(hive()));
  put('letter.eml', letter());
  put(
    'box.mbox',
    `From a@example Mon Jan 1 00:00:00 2024\n${letter()}\n\nFrom b@example Mon Jan 1 00:00:01 2024\n${html()}`,
  );
  put('noise.bin', Buffer.from(Array.from({ length: 600 }, (_, i) => (i * 7919) % 256)));
  const database = new DatabaseSync(join(dir, 'data.sqlite'));
  database.exec("CREATE TABLE people (name TEXT, age INTEGER); INSERT INTO people VALUES ('Grace Hopper', 85)");
  database.close();
  return {
    'plain.txt': 'text',
    'wide.txt': 'text',
    'latin.log': 'text',
    'red.png': 'picture',
    'paper.pdf': 'pdf',
    'sound.wav': 'audio',
    'pack.zip': 'archive',
    'letter.docx': 'text',
    'table.xlsx': 'text',
    'talk.pptx': 'text',
    'note.odt': 'text',
    'bare.txt': 'text',
    'cyrillic.txt': 'text',
    SOFTWARE: 'registry',
    'letter.eml': 'mail',
    'box.mbox': 'mail',
    'noise.bin': 'none',
    'data.sqlite': 'sqlite',
  };
}

/** Writes thirteen files that try to run something or to call somebody. */
export function writeHostile(dir: string): string[] {
  mkdirSync(dir, { recursive: true });
  const call = 'http://127.0.0.1:9/called';
  const js = `fetch('${call}');window.__ran=1;alert(1)`;
  const svg = (inner: string): string => `<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">${inner}</svg>`;
  const action = (text: string): string => `/OpenAction << /Type /Action ${text} >>`;
  const files: Record<string, string | Buffer> = {
    'script.html': `<!doctype html><script>${js}</script>`,
    'image.html': `<img src="${call}" onerror="${js}">`,
    'frame.html': `<iframe src="javascript:${js}"></iframe><meta http-equiv="refresh" content="0;url=${call}">`,
    'style.html': `<style>@import url(${call});body{background:url(${call})}</style><body onload="${js}">`,
    'mail.eml': `From: a@example\nTo: b@example\nSubject: <img src=${call}>\nContent-Type: text/html\n\n<img src="${call}" onerror="${js}"><script>${js}</script>`,
    'script.svg': svg(`<script>${js}</script>`),
    'load.svg': `<svg xmlns="http://www.w3.org/2000/svg" onload="${js}"/>`,
    'foreign.svg': svg(`<foreignObject><body xmlns="http://www.w3.org/1999/xhtml" onload="${js}"/></foreignObject>`),
    'use.svg': svg(`<image href="${call}"/><use href="${call}#x"/>`),
    'script.pdf': pdf('one', action(`/S /JavaScript /JS (app.alert\\(1\\); this.submitForm\\('${call}'\\))`)),
    'uri.pdf': pdf('two', action(`/S /URI /URI (${call})`)),
    'launch.pdf': pdf('three', action(`/S /Launch /F (${call})`)),
    'link.pdf': pdf(
      'four',
      '',
      `/Annots [<< /Type /Annot /Subtype /Link /Rect [0 0 612 792] /A << /S /URI /URI (${call}) >> >>]`,
    ),
  };
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(dir, name), bytes);
  return Object.keys(files);
}
