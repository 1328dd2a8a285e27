/** Messages: what a person reads of them, however they are cut, coded or broken. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { looksLikeMail, messagesOf, readMail, textOfHtml } from '../src/codec/mail.ts';
import { letter } from './serve/files.ts';

test('reads headers, the plain text and the attachments of a message', () => {
  const mail = readMail(letter());
  expect(mail.headers.slice(0, 3)).toEqual([
    ['From', 'Renée <renee@example>'],
    ['To', 'desk@example'],
    ['Subject', 'Grüße und mehr'],
  ]);
  expect(mail.text).toBe('Die Schlüssel liegen beim Empfang.');
  expect(mail.wasHtml).toBe(false);
  expect(mail.attachments).toEqual([{ name: 'Mietvertrag ü.pdf', type: 'application/pdf', size: 9 }]);
});

test('of HTML only the words are left', () => {
  const html =
    '<head><title>t</title></head><p>a&#228;&#x20ac;&amp;</p><script>x()</script><style>y</style><b>c</b><!-- d';
  expect(textOfHtml(html)).toBe('aä€&\nc');
  expect(textOfHtml('<scr<script>ipt>alert(1)</script>')).not.toContain('<');
  expect(textOfHtml('&#99999999999; &#1114112;')).toBe('&#99999999999; \ufffd');
});

test('a message that was cut keeps what is there of it', () => {
  const cut = letter().slice(0, letter().indexOf('JVBERi') + 4);
  expect(readMail(cut).text).toBe('Die Schlüssel liegen beim Empfang.');
  expect(readMail(cut).attachments).toHaveLength(1);
});

test('finds the messages of an mbox', () => {
  const box = `From a\n${letter()}\n\nFrom b\nFrom: b@example\nTo: c\n\nFrom here on\n\nFrom c\nX: y\n\nempty`;
  const places = messagesOf(box, 10);
  expect(places).toHaveLength(3);
  expect(readMail(box.slice(places[1], places[2])).text).toContain('From here on');
  expect(messagesOf(box, 2)).toHaveLength(2);
});

test('takes no other text for a message', () => {
  expect(looksLikeMail('From: a\nSubject: b\n\ntext')).toBe(true);
  expect(looksLikeMail('Received: by x\n from y\nX-Spam: no\n\n')).toBe(true);
  expect(looksLikeMail('To: do\nDate: today\n\n')).toBe(false);
  expect(looksLikeMail('displayName = "web01"\nFrom: a\nTo: b\n')).toBe(false);
  expect(looksLikeMail('From here on it is a story.\n')).toBe(false);
});

test('parts in parts without end, and any bytes, come to an end', () => {
  const deep = Array.from(
    { length: 2000 },
    (_, i) => `Content-Type: multipart/mixed; boundary=b${i}\n\n--b${i}\n`,
  ).join('');
  expect(readMail(`From: a\n${deep}text`).attachments.length).toBeLessThan(600);
  const wide = `Content-Type: multipart/mixed; boundary=b\n\n${'--b\n\nx\n'.repeat(5000)}`;
  expect(readMail(wide).text).toContain('x');
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('--b', '\n', '\r\n', 'From ', ': ', ';', '=?utf-8?q?', '?=', '="', "*=''%", '<', '&#'), {
        maxLength: 60,
      }),
      (parts) => {
        readMail(`Content-Type: multipart/mixed; boundary=b\n\n${parts.join('')}`);
        readMail(parts.join(''));
        messagesOf(parts.join(''), 5);
      },
    ),
  );
});
