/** Directories that are put together from what was found: no structure on the disk holds them any more. */
import { encodeName, printable } from '../../core/locator.ts';
import type { Node } from '../../core/node.ts';

export interface Folder {
  readonly node: Node;
  /** The directory of that name below it, made where it is not there yet. */
  enter(name: string): Folder;
  add(name: string, make: (locator: string, rawName: string) => Node): void;
}

/** An empty one. Names that are taken get ;2, ;3 and so on. */
export function folder(locator: string, rawName: string): Folder {
  const children = new Map<string, Node>();
  const folders = new Map<string, Folder>();
  const free = (name: string): string => {
    let out = name;
    for (let n = 2; children.has(out); n++) out = `${name};${n}`;
    return out;
  };
  const node: Node = {
    name: printable(rawName),
    rawName,
    locator,
    kind: 'directory',
    state: 'deleted',
    facts: {},
    damage: [],
    async child(name) {
      return children.get(name);
    },
    async *children() {
      yield* children.values();
    },
  };
  return {
    node,
    enter(name) {
      const known = folders.get(name);
      if (known !== undefined) return known;
      const own = free(name);
      const made = folder(`${locator}/${encodeName(own)}`, own);
      folders.set(name, made);
      children.set(own, made.node);
      return made;
    },
    add(name, make) {
      const own = free(name);
      children.set(own, make(`${locator}/${encodeName(own)}`, own));
    },
  };
}
