/** Encodings that a text can be read in, the same that the API takes. */
import type { z } from 'zod';
import type { PreviewQuery } from '../../../src/serve/schemas-preview.ts';

type Encoding = NonNullable<z.infer<typeof PreviewQuery>['encoding']>;

/** All of them, so that one that the API gains has to be named here. */
const NAMES: Readonly<Record<Encoding, true>> = {
  'utf-8': true,
  'utf-16le': true,
  'utf-16be': true,
  'windows-1252': true,
  'windows-1250': true,
  'windows-1251': true,
  'koi8-r': true,
  ibm866: true,
  'iso-8859-2': true,
  'iso-8859-15': true,
  'windows-1253': true,
  'windows-1254': true,
  'windows-1255': true,
  'windows-1256': true,
  shift_jis: true,
  'euc-jp': true,
  gb18030: true,
  big5: true,
  'euc-kr': true,
  macintosh: true,
};
export const ENCODINGS: readonly string[] = Object.keys(NAMES);
