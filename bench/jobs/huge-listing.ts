/** Prints the milliseconds from opening a 64 TiB volume in memory to its first listing, in a process that did nothing before. */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { huge } from '../../test/make/stores.ts';
import { ROOT } from '../salvor.ts';

type Library = typeof import('../../src/index.ts');

const library: Library = await import(pathToFileURL(join(ROOT, 'dist', 'index.js')).href);
const made = huge(process.argv[2] === '5' ? 5 : 6, { members: 1 });
const pieces = [...made.writes()].map(({ at, bytes }) => ({ at, bytes }));
const source = new library.MemorySource(pieces, made.members[0].size);
const began = performance.now();
const stack = library.open([{ name: 'huge.img', source }]);
const names: string[] = [];
for await (const child of stack.children(await library.home(stack))) names.push(child.name);
const took = performance.now() - began;
if (!names.includes('monster')) throw new Error(`listed: ${names.join(', ')}`);
console.log(took.toFixed(1));
