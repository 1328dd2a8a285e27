/** config.db of Proxmox: the files of /etc/pve, of which those of machines are read. Source: the manual page of pmxcfs. */
import type { Format } from '../../core/format.ts';
import type { MachineModel } from '../../core/machine.ts';
import { NotThis } from '../../core/node.ts';
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
    return database !== undefined && (await database.table(TABLE)) !== undefined ? 96 : 0;
  },
  async open(source, cx) {
    const database = await Database.open(source);
    const rows = await database?.table(TABLE);
    if (database === undefined || rows === undefined) throw new NotThis('no SQLite database with a table "tree"');
    const models = modelsOf(rows);
    const effect = 'machines may be missing, or not as they were last';
    const damage =
      database.faults > 0
        ? [cx.damage(0, 'pmxcfs.pages', 'pages that can be read', `${database.faults} that cannot`, effect)]
        : [];
    const [log] = await cx.siblings({ name: `${ownName(cx)}-wal` });
    const hasLog = log !== undefined && log.source.size > 0;
    const isDoubted = hasLog || !database.isCurrent || damage.length > 0;
    const notice = `a log lies beside it (${ownName(cx)}-wal), which is not read: the last changes may stand there only`;
    return {
      ...machineNode(cx, pmxcfs.title, source.size, models, damage, isDoubted),
      notices: hasLog ? [notice] : [],
    };
  },
};

/** The machines of all nodes, by their numbers. */
function modelsOf(rows: readonly Row[]): MachineModel[] {
  const byId = new Map(rows.map((row) => [row.id, row]));
  const out: { number: number; model: MachineModel }[] = [];
  for (const row of rows) {
    const data = row.cells[DATA];
    const [, node, number] = CONF.exec(pathOf(row, byId)) ?? [];
    if (number === undefined || out.length >= MAX_MACHINES) continue;
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
