/** What goes over the HTTP API, as schemas: checked on the way in, documented in /openapi.json, typed in the web. */
import { z } from '@hono/zod-openapi';
import { machineWriters } from '../formats/index.ts';
import { BUSES } from './boot/choices.ts';

/** Characters of one locator or path. */
export const MAX_NAME = 16_384;
const MAX_CHOSEN = 10_000;
const MAX_SOURCES = 256;

/** A path or locator: whatever a file system allows, but no NUL. */
export const name = z
  .string()
  .min(1)
  .max(MAX_NAME)
  .refine((text) => !text.includes('\0'), 'must not contain NUL');
const absolute = name.regex(/^\//, 'must be an absolute path');
const whole = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

export const Login = z.object({ token: z.string().max(256) });
export const OpenRequest = z.object({
  sources: z.array(absolute).min(1).max(MAX_SOURCES),
  case: absolute.optional(),
});
export const PathQuery = z.object({ path: absolute });
export const LocatorQuery = z.object({ locator: name });
export const TreeQuery = z.object({
  parent: name.optional(),
  after: whole.optional(),
  limit: whole.pipe(z.number().max(1000)).optional(),
});
export const MapQuery = z.object({
  locator: name,
  from: whole.optional(),
  to: whole.optional(),
  buckets: whole.pipe(z.number().min(1).max(4096)).optional(),
});
export const HexQuery = z.object({ locator: name, from: whole, length: whole.pipe(z.number().min(1).max(65_536)) });
export const WayQuery = z.object({ locator: name, at: whole });
export const SearchQuery = z.object({
  text: z.string().max(512),
  kind: z.string().max(32).optional(),
  state: z.string().max(32).optional(),
  certainty: z.enum(['verified', 'stated', 'inferred', 'guessed', 'missing']).optional(),
  damaged: z.enum(['true', 'false']).optional(),
  larger: whole.optional(),
  smaller: whole.optional(),
  newer: whole.optional(),
  older: whole.optional(),
  after: whole.optional(),
});
export const RecoverOptions = z.object({
  out: absolute,
  locators: z.array(name).max(MAX_CHOSEN).optional(),
  vm: z.string().max(1024).optional(),
  deep: z.boolean().optional(),
  fill: z.enum(['zero', 'pattern', 'skip']).optional(),
  sha256: z.boolean().optional(),
});
export const ConvertOptions = z.object({ locator: name, out: absolute, variant: z.string().max(64) });
const lost = z.enum(['error', 'zeros']);
/** A machine: the configuration that describes it, and its name there. */
export const MachineQuery = z.object({ config: name, name: z.string().max(1024) });
const TARGETS = machineWriters.map(({ platform }) => platform.target);
/** A machine written for a platform, its disks converted on the way. */
export const MachineOptions = MachineQuery.extend({
  out: absolute,
  target: z.enum(TARGETS),
  ova: z.boolean().optional(),
});
export const ServeOptions = MachineQuery.extend({ lost });
export const BootOptions = ServeOptions.extend({
  /** MiB. */
  memory: z.number().int().min(16).max(16_777_216).optional(),
  bus: z.enum(BUSES).optional(),
});
export const ScanOptions = z
  .object({
    /** Then also look for files by their content, in what live files leave free. */
    carve: z.boolean().optional(),
  })
  .strict();
export const JobRequest = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('scan'), options: ScanOptions }),
  z.object({ kind: z.literal('list'), options: z.object({}).strict() }),
  z.object({ kind: z.literal('estimate'), options: RecoverOptions }),
  z.object({ kind: z.literal('recover'), options: RecoverOptions }),
  z.object({ kind: z.literal('convert'), options: ConvertOptions }),
  z.object({ kind: z.literal('machine'), options: MachineOptions }),
  z.object({ kind: z.literal('nbd'), options: ServeOptions }),
  z.object({ kind: z.literal('dav'), options: z.object({ lost }) }),
  z.object({ kind: z.literal('boot'), options: BootOptions }),
]);
export const JobQuery = z.object({ id: z.string().max(16) });

export const Problem = z.object({ error: z.string(), code: z.string() });
export const Health = z.enum(['sound', 'damaged', 'unknown']);

export const Entry = z.object({
  locator: z.string(),
  name: z.string(),
  kind: z.string(),
  state: z.string(),
  format: z.string().optional(),
  size: z.number().optional(),
  modified: z.number().optional(),
  damage: z.number(),
  /** Whether something may lie below it. */
  expandable: z.boolean(),
  /** Whether a recovery can be asked for it. */
  recoverable: z.boolean(),
});
export const TreePage = z.object({
  entries: z.array(Entry),
  next: z.number().optional(),
  total: z.number().optional(),
});

export const Sentence = z.object({ text: z.string(), wrong: z.boolean() });
export const MachineView = z.object({
  name: z.string(),
  config: z.string(),
  folder: z.string().optional(),
  disks: z.array(
    z.object({
      slot: z.string(),
      file: z.string(),
      chain: z.array(z.string()),
      files: z.array(z.string()),
      broken: z.string().optional(),
    }),
  ),
  details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
});
export interface LayerView {
  locator: string;
  title: string;
  kind: string;
  health: 'sound' | 'damaged' | 'unknown';
  sentences: { text: string; wrong: boolean }[];
  inside: LayerView[];
}
export const Layer: z.ZodType<LayerView> = z
  .lazy(() =>
    z.object({
      locator: z.string(),
      title: z.string(),
      kind: z.string(),
      health: Health,
      sentences: z.array(Sentence),
      inside: z.array(Layer),
    }),
  )
  .openapi('Layer', { type: 'object' });
export const Diagnosis = z.object({
  layers: z.array(Layer),
  known: z.number(),
  damaged: z.number(),
  filesystems: z.number(),
  advice: z.array(Sentence),
});

export const NodeView = z.object({
  entry: Entry,
  facts: z.array(z.tuple([z.string(), z.string()])),
  sentences: z.array(Sentence),
  regions: z.array(z.object({ name: z.string(), locator: z.string(), start: z.number(), size: z.number() })),
});
export const Grades = z.object({
  facts: z.array(z.tuple([z.string(), z.string()])),
  certainty: z.record(z.string(), z.number()),
  shortfall: z.string().optional(),
});
export const Picture = z.object({
  locator: z.string(),
  size: z.number(),
  from: z.number(),
  to: z.number(),
  /** Bytes of each class (verified, stated, inferred, guessed, zero, missing) in each bucket. */
  buckets: z.array(z.array(z.number())),
  /** Up to here it was looked; what lies behind was too much to count at once. */
  counted: z.number(),
  /** Every single run, where there are few. */
  runs: z.array(
    z.object({
      offset: z.number(),
      length: z.number(),
      state: z.string(),
      certainty: z.string(),
      evidence: z.string().optional(),
      at: z.number().optional(),
      why: z.object({ what: z.string(), at: z.string().optional(), code: z.string().optional() }).optional(),
    }),
  ),
});
export const Hex = z.object({
  offset: z.number(),
  size: z.number(),
  base64: z.string(),
  runs: z.array(z.object({ offset: z.number(), length: z.number(), state: z.string(), certainty: z.string() })),
  /** What these bytes are, where a structure is known to lie. */
  fields: z.array(
    z.object({
      structure: z.string(),
      field: z.string(),
      at: z.number(),
      length: z.number(),
      value: z.string(),
      expected: z.string().optional(),
    }),
  ),
});
export const Way = z.object({
  steps: z.array(
    z.object({
      at: z.string(),
      state: z.string().optional(),
      certainty: z.string().optional(),
      why: z.object({ what: z.string(), at: z.string().optional(), code: z.string().optional() }).optional(),
    }),
  ),
});
export const Found = z.object({
  rows: z.array(
    z.object({
      locator: z.string(),
      name: z.string(),
      kind: z.string(),
      state: z.string(),
      size: z.number().nullable(),
      modified: z.number().nullable(),
      damage: z.number(),
      certainty: z.string().nullable(),
    }),
  ),
  /** For `after`: there may be more. An answer takes a moment only, so it may have few rows or none. */
  next: z.number().optional(),
  /** The share of all things that was looked at. */
  looked: z.number(),
  /** How many pass, as far as that was counted; with the first page. */
  count: z.number().optional(),
  counted: z.boolean().optional(),
  listed: z.number(),
  complete: z.boolean(),
});
const Decided = z.object({ what: z.string(), value: z.string(), reason: z.string() });
export const Plan = z.object({
  name: z.string(),
  /** What is known of the system in its disks. */
  guest: z.array(z.tuple([z.string(), z.string()])),
  /** Disks that cannot be had, chains that are broken, and what else a person should know first. */
  notes: z.array(Sentence),
  /** Whether machines can be started on this computer. */
  qemu: z.boolean(),
  targets: z.array(
    z.object({
      target: z.string(),
      title: z.string(),
      /** Whether all can be put into one archive that importers take. */
      archive: z.boolean(),
      /** Why this platform cannot have it. */
      refused: z.string().optional(),
      decisions: z.array(Decided),
      files: z.array(z.string()),
      steps: z.array(z.string()),
      later: z.array(z.string()),
      command: z.string(),
    }),
  ),
});
export const Machines = z.object({ machines: z.array(MachineView) });
export const Chains = z.object({
  chains: z.array(
    z.object({
      missing: z.number(),
      whole: z.boolean(),
      notices: z.array(z.string()),
      inside: z.array(Sentence),
      levels: z.array(
        z.object({
          locator: z.string(),
          format: z.string().optional(),
          size: z.number(),
          own: z.number(),
          users: z.array(z.string()),
          damage: z.number(),
          tie: z
            .object({
              how: z.string(),
              said: z.string(),
              reasons: z.array(z.string()),
              offers: z.array(z.object({ locator: z.string(), verdict: z.string(), reasons: z.array(z.string()) })),
            })
            .optional(),
        }),
      ),
    }),
  ),
});

export const DeviceView = z.object({
  path: z.string(),
  size: z.number(),
  model: z.string(),
  serial: z.string().optional(),
  contents: z.array(z.string()),
  warning: z.string().optional(),
  unseen: z.string().optional(),
});
export const Devices = z.object({ devices: z.array(DeviceView) });
export const Folder = z.object({
  path: z.string(),
  parent: z.string().optional(),
  entries: z.array(z.object({ name: z.string(), path: z.string(), kind: z.string(), size: z.number().optional() })),
  cut: z.boolean(),
});

export const JobState = z.enum(['running', 'stopping', 'stopped', 'done', 'failed']);
export const JobView = z.object({
  id: z.string(),
  kind: z.string(),
  state: JobState,
  options: z.record(z.string(), z.unknown()),
  progress: z.record(z.string(), z.union([z.number(), z.string()])),
  /** What came of it, in sentences. */
  said: z.array(z.string()),
  result: z.unknown().optional(),
  error: z.string().optional(),
  /** Seconds since it was begun. */
  seconds: z.number(),
});
export const Jobs = z.object({ jobs: z.array(JobView) });
export const SessionView = z.object({
  version: z.string(),
  state: z.enum(['none', 'opening', 'open', 'failed']),
  sources: z.array(z.string()),
  case: z.string().optional(),
  error: z.string().optional(),
  /** How often reading the evidence brought its process down, and what was said the last time. */
  crashes: z.number(),
  crash: z.string().optional(),
  variants: z.array(z.string()),
  cwd: z.string(),
});
export const CaseView = z.object({
  dir: z.string(),
  alarms: z.array(z.string()),
  notes: z.array(z.string()),
  files: z.array(
    z.object({
      locator: z.string(),
      size: z.number(),
      scanned: z.number(),
      whole: z.boolean(),
      /** Files were looked for by their content, to the end. */
      carved: z.boolean(),
      kinds: z.array(z.object({ kind: z.string(), count: z.number() })),
    }),
  ),
  listed: z.number(),
  complete: z.boolean(),
  runs: z.array(
    z.object({
      id: z.number(),
      kind: z.string(),
      options: z.record(z.string(), z.unknown()),
      started: z.string(),
      ended: z.string().nullable(),
      state: z.string(),
      said: z.string().nullable(),
    }),
  ),
  custody: z.object({
    count: z.number(),
    broken: z.string().optional(),
    entries: z.array(
      z.object({ id: z.number(), at: z.string(), program: z.string(), command: z.array(z.string()), said: z.string() }),
    ),
  }),
});
