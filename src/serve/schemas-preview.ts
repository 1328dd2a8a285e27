/** Previews as they go over the HTTP API. */
import { z } from '@hono/zod-openapi';
import { MAX_NAME, name } from './schemas.ts';

/** Encodings that a text can be read in when its bytes do not say: what people used before Unicode. */
export const ENCODINGS = [
  'utf-8',
  'utf-16le',
  'utf-16be',
  'windows-1252',
  'windows-1250',
  'windows-1251',
  'koi8-r',
  'ibm866',
  'iso-8859-2',
  'iso-8859-15',
  'windows-1253',
  'windows-1254',
  'windows-1255',
  'windows-1256',
  'shift_jis',
  'euc-jp',
  'gb18030',
  'big5',
  'euc-kr',
  'macintosh',
] as const;
export const PreviewQuery = z.object({ locator: name, encoding: z.enum(ENCODINGS).optional() });
export const KeyQuery = z.object({ locator: name, key: z.string().max(MAX_NAME) });

export const PREVIEW_KINDS = [
  'text',
  'picture',
  'pdf',
  'audio',
  'video',
  'archive',
  'sqlite',
  'registry',
  'mail',
  'none',
] as const;
export const Preview = z.object({
  kind: z.enum(PREVIEW_KINDS),
  /** The type that pictures, sound and films are served as. */
  type: z.string().optional(),
  size: z.number(),
  text: z.string().optional(),
  encoding: z.string().optional(),
  mails: z
    .array(
      z.object({
        headers: z.array(z.tuple([z.string(), z.string()])),
        text: z.string(),
        attachments: z.array(z.object({ name: z.string(), type: z.string(), size: z.number() })),
      }),
    )
    .optional(),
  /** Names and sizes in an archive. */
  members: z.array(z.object({ name: z.string(), size: z.number() })).optional(),
  /** What is left out, missing or doubtful, in sentences. */
  notes: z.array(z.string()),
});

export const RegistryKey = z.object({
  keys: z.array(z.object({ name: z.string(), subkeys: z.number() })),
  values: z.array(z.object({ name: z.string(), type: z.string(), data: z.string() })),
  notes: z.array(z.string()),
});
