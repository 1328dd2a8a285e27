/** config.db of Proxmox: the files of /etc/pve, of which those of machines are read. Source: the manual page of pmxcfs. */
import type { Format } from '../../core/format.ts';
import type { MachineModel } from '../../core/machine.ts';
import { NotThis } from '../../core/node.ts';
import type { Source } from '../../core/source.ts';
import { type Cell, Database, type Row } from '../file/sqlite.ts';
import { machineNode, ownName } from './node.ts';
import { confModel } from './proxmox.ts';

const TABLE = 'tree';
/** Columns of the table; the first one is the key of the row. */
const PARENT = 1;
const NAME = 6;
const DATA = 7;
/** Folders above one file. */
const MAX_LEVELS = 32;
/** Machines of one cluster that are listed. */
const MAX_MACHINES = 4096;
const CONF = /^nodes\/([^/]+)\/qemu-server\/(\d{3,9})\.conf$/;
/** How the journal of a change begins that was not ended. */
const JOURNAL = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
const LARGEST = 1024 * 1024 * 1024;

export const pmxcfs: Format = {
  id: 'pmxcfs',
  layer: 'machine',
  title: 'Proxmox cluster database',
  spec: 'the manual page of pmxcfs; the SQLite file format',
  gaps: [
    'What the write-ahead log (config.db-wal) holds is not laid over it; where there is one, all is inferred.',
    'Containers (lxc) are not read.',
  ],
  names: ['config.db'],
  async probe(source) {
    if (source.size < 512 || source.size > LARGEST) return 0;
    const database = await Database.open(source);
    return database !== undefined && (await database.has(TABLE)) ? 96 : 0;
  },
  async open(source, cx) {
    const database = await Database.open(source);
    const rows = await database?.table(TABLE);
    if (database === undefined || rows === undefined) throw new NotThis('no SQLite database with a table "tree"');
    const all = modelsOf(rows);
    const models = all.slice(0, MAX_MACHINES);
    const effect = 'machines may be missing, or not as they were last';
    const damage =
      database.faults > 0
        ? [cx.damage(0, 'pmxcfs.pages', 'pages that can be read', `${database.faults} that cannot`, effect)]
        : [];
    if (all.length > models.length)
      damage.push(cx.damage(0, 'pmxcfs.machines', `at most ${MAX_MACHINES} machines`, String(all.length), effect));
    const [log] = await cx.siblings({ name: `${ownName(cx)}-wal` });
    const [journal] = await cx.siblings({ name: `${ownName(cx)}-journal` });
    const hasLog = log !== undefined && log.source.size > 0;
    const isHot = journal !== undefined && (await begins(journal.source, JOURNAL));
    const isDoubted = hasLog || isHot || !database.isCurrent || damage.length > 0;
    const notice = `a log lies beside it (${ownName(cx)}-wal), which is not read: the last changes may stand there only`;
    const hot = `a journal lies beside it (${ownName(cx)}-journal): a change was begun and not ended, and may be there in part`;
    return {
      ...machineNode(cx, pmxcfs.title, source.size, models, damage, isDoubted),
      notices: [...(hasLog ? [notice] : []), ...(isHot ? [hot] : [])],
    };
  },
};

async function begins(source: Source, bytes: readonly number[]): Promise<boolean> {
  const head = new Uint8Array(bytes.length);
  return (
    source.size >= head.length && (await source.read(0, head)).length === 0 && bytes.every((b, i) => head[i] === b)
  );
}

/** The machines of all nodes, by their numbers. */
function modelsOf(rows: readonly Row[]): MachineModel[] {
  const byId = new Map(rows.map((row) => [row.id, row]));
  const out: { number: number; model: MachineModel }[] = [];
  for (const row of rows) {
    const data = row.cells[DATA];
    const [, node, number] = CONF.exec(pathOf(row, byId)) ?? [];
    if (number === undefined) continue;
    const text = data instanceof Uint8Array ? new TextDecoder().decode(data) : typeof data === 'string' ? data : '';
    if (text === '') continue;
    const model = confModel(text, number);
    out.push({
      number: Number(number),
      model: { ...model, name: { ...model.name, from: `${model.name.from} of ${number}.conf on ${node}` } },
    });
  }
  return out.sort((a, b) => a.number - b.number).map(({ model }) => model);
}

/** Names from the top down. A loop ends it. */
function pathOf(row: Row, byId: ReadonlyMap<number, Row>): string {
  const names: string[] = [];
  const seen = new Set<number>();
  for (let at: Row | undefined = row; at !== undefined && names.length < MAX_LEVELS && !seen.has(at.id); ) {
    seen.add(at.id);
    names.unshift(String(at.cells[NAME] ?? ''));
    const parent: Cell = at.cells[PARENT] ?? null;
    at = typeof parent === 'number' && parent !== 0 ? byId.get(parent) : undefined;
  }
  return names.join('/');
}
