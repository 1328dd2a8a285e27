/** Very many things by name, for the list of a case: what a datastore with full guests in it would give. */

interface Row {
  readonly locator: string;
  readonly name: string;
  readonly kind: string;
  readonly state: string;
  readonly size: number | null;
  readonly modified: number | null;
  readonly damage: number;
  readonly certainty: string | null;
}

const WORDS = ['report', 'invoice', 'backup', 'photo', 'system', 'driver', 'setup', 'notes', 'archive', 'kernel'];
const ENDINGS = ['txt', 'docx', 'vmdk', 'log', 'dll', 'jpg', 'xlsx', 'pdf'];
const AWKWARD = ['100% done.txt', 'a_b.txt', 'axb.txt', '"quoted" AND more.txt', 'büro.docx', 'BÜRO.docx'];
const PER_FOLDER = 500;
const BATCH = 2000;

/** `count` things on one piece of evidence, always the same. */
export function* manyRows(count: number, evidence: string): Generator<Row> {
  let seed = 1;
  const random = (): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed / 2 ** 32;
  };
  for (let i = 0; i < count; i++) {
    const folder = Math.floor(i / PER_FOLDER);
    const plain = `${WORDS[i % 10]}-${WORDS[Math.floor(random() * 10)]}-${i}.${ENDINGS[i % 8]}`;
    const name = i % 20_000 < AWKWARD.length ? AWKWARD[i % 20_000] : plain;
    const vm = `vm${Math.floor(folder / 200)}`;
    const inside = `${evidence}::vmfs/${vm}/${vm}-flat.vmdk::gpt/p2::ntfs`;
    const isHurt = i % 5000 === 3;
    yield {
      locator: `${inside}/Users/user${folder % 7}/Documents/dir${folder}/${name}`,
      name,
      kind: i % PER_FOLDER === PER_FOLDER - 1 ? 'directory' : 'file',
      state: i % 1000 === 7 ? 'deleted' : 'live',
      size: Math.floor(random() * 1e6),
      modified: 1.6e9 + i,
      damage: isHurt ? 1 : 0,
      certainty: isHurt ? 'missing' : i % 700 === 1 ? 'inferred' : 'stated',
    };
  }
}

interface List {
  begin(evidence: string): void;
  add(rows: readonly Row[]): void;
  end(): void;
}

/** Enters things into the list of a case. */
export function fillCase(list: List, evidence: string, rows: Iterable<Row>): void {
  list.begin(evidence);
  let batch: Row[] = [];
  for (const row of rows) {
    batch.push(row);
    if (batch.length < BATCH) continue;
    list.add(batch);
    batch = [];
  }
  list.add(batch);
  list.end();
}
