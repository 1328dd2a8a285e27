/** What a person gave to look at, as nodes: files, block devices, directories of files. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { EvidenceError, FileSource } from '../core/evidence.ts';
import { MAX_FILES_OF_DIRECTORY } from '../core/limits.ts';
import { printable } from '../core/locator.ts';
import type { Node } from '../core/node.ts';
import type { Source } from '../core/source.ts';
import { useMapfileBeside } from './mapfile.ts';

/** A Source that did not come from a path: a made or remote one, with the name it shall have in locators. */
export interface NamedSource {
  readonly name: string;
  readonly source: Source;
}

/** Directory levels that are looked into below a directory given as evidence. */
const MAX_LEVELS = 8;

/** Everything that was given, and the files opened for it. */
export class Evidence {
  /** One node per argument, in the order given. */
  readonly nodes: Node[] = [];
  readonly #open = new Map<string, FileSource>();
  readonly #named = new Map<string, Source>();
  readonly #directories: string[] = [];
  /** Files that were named later. */
  readonly #further: Node[] = [];
  readonly #only: boolean;
  readonly #notes = new Map<string, string>();

  /** `only`: without mapfiles that lie beside what was given. */
  constructor(given: readonly (string | NamedSource)[], only = false) {
    this.#only = only;
    for (const one of given) {
      if (typeof one !== 'string') {
        this.#named.set(one.name, one.source);
        this.nodes.push(this.#fileNode(one.name, one.name, one.source.size));
      } else this.nodes.push(this.#pathNode(one));
    }
  }

  /** Paths of the files that were opened so far. */
  get opened(): readonly FileSource[] {
    return [...this.#open.values()];
  }

  /** Directories that were given whole. */
  get directories(): readonly string[] {
    return this.#directories;
  }

  /** What the mapfiles beside opened files said, in sentences, by the path of the file. */
  get notes(): ReadonlyMap<string, string> {
    return this.#notes;
  }

  /** The bytes of a file, opened once. */
  source(name: string): Source {
    const known = this.#named.get(name) ?? this.#open.get(name);
    if (known !== undefined) return known;
    const file = new FileSource(name);
    const said = this.#only ? undefined : useMapfileBeside(file);
    if (said !== undefined) this.#notes.set(name, said);
    this.#open.set(name, file);
    return file;
  }

  /** One more file that a person named, which is no source of its own. What lies beside it can belong to it. */
  further(name: string): Node {
    const full = path.resolve(name);
    const known = [...this.nodes, ...this.#further].find(
      (node) => node.kind === 'evidence' && path.resolve(node.locator) === full,
    );
    if (known !== undefined) return known;
    const node = this.#fileNode(full, path.basename(full), this.source(full).size);
    this.#further.push(node);
    return node;
  }

  /** The other regular files beside the given ones: candidates for members, extents and parents. */
  neighbours(): Node[] {
    const nodes = [...this.nodes, ...this.#further];
    const given = new Set(nodes.map((node) => path.resolve(node.locator)));
    const folders = new Set<string>();
    for (const node of nodes) {
      if (node.kind === 'evidence' && !this.#named.has(node.locator))
        folders.add(path.dirname(path.resolve(node.locator)));
    }
    const out: Node[] = [];
    for (const folder of folders) {
      if (folder === '/dev') continue; // a device's neighbours are other people's disks
      for (const entry of regularFiles(folder)) {
        const file = path.join(folder, entry.name);
        if (!given.has(file)) out.push(this.#fileNode(file, entry.name, undefined));
      }
    }
    return out;
  }

  close(): void {
    for (const file of this.#open.values()) file.close();
    this.#open.clear();
  }

  #pathNode(name: string): Node {
    const stat = fs.statSync(name, { throwIfNoEntry: false });
    if (stat?.isDirectory() === true) {
      this.#directories.push(path.resolve(name));
      return this.#directoryNode(name.replace(/\/+$/, '') || '/', path.basename(name), 0);
    }
    const source = this.source(name); // opens it: what cannot be opened is said now
    return this.#fileNode(name, path.basename(name), source.size);
  }

  #fileNode(locator: string, name: string, size: number | undefined): Node {
    return {
      name: printable(raw(name)),
      rawName: raw(name),
      locator,
      kind: 'evidence',
      state: 'live',
      facts: size === undefined ? {} : { size },
      damage: [],
      bytes: async () => this.source(locator),
    };
  }

  #directoryNode(locator: string, name: string, level: number): Node {
    const children = (): AsyncGenerator<Node> => this.#entries(locator, level);
    return {
      name: printable(raw(name)),
      rawName: raw(name),
      locator,
      kind: 'directory',
      state: 'live',
      facts: {},
      damage: [],
      children,
      async child(wanted) {
        for await (const node of children()) if (node.rawName === wanted) return node;
        return undefined;
      },
    };
  }

  async *#entries(folder: string, level: number): AsyncGenerator<Node> {
    let files = 0;
    for (const entry of fs.readdirSync(folder, { withFileTypes: true }).sort(byName)) {
      const inner = `${folder}/${entry.name}`;
      if (entry.isDirectory() && level < MAX_LEVELS) yield this.#directoryNode(inner, entry.name, level + 1);
      if (!entry.isFile()) continue; // links, pipes and the like are never followed
      if (++files > MAX_FILES_OF_DIRECTORY) {
        throw new EvidenceError(`${folder} holds more than ${MAX_FILES_OF_DIRECTORY} files; give those that matter.`);
      }
      yield this.#fileNode(inner, entry.name, fs.statSync(inner).size);
    }
  }
}

/** A name of the host as raw bytes, the way names inside evidence are kept. */
function raw(name: string): string {
  return Buffer.from(name, 'utf8').toString('latin1');
}

function regularFiles(folder: string): fs.Dirent[] {
  try {
    const entries = fs.readdirSync(folder, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .sort(byName)
      .slice(0, MAX_FILES_OF_DIRECTORY);
  } catch {
    return []; // a folder that cannot be listed offers nothing
  }
}

function byName(a: fs.Dirent, b: fs.Dirent): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
