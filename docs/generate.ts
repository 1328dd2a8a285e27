/** Makes docs/formats.md, docs/commands.md and the README's tour from the code: `npm run docs`. A test compares. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import { formats } from '../src/formats/index.ts';
import { toured } from './tour.ts';

const ROOT = path.join(import.meta.dirname, '..');

/** The table of formats with what each cannot do. */
export function formatsPage(): string {
  const rows = formats.map((f) => `| \`${f.id}\` | ${f.layer} | ${f.title} | ${f.spec} |`);
  const gaps = formats.flatMap((f) => [`## ${f.title} (\`${f.id}\`)`, '', ...f.gaps.map((gap) => `- ${gap}`), '']);
  return [
    '# Formats',
    '',
    'Made from the code by `npm run docs`. The references are those of the format descriptions the readers follow.',
    '',
    '| name in locators | layer | what it is | reference |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
    '# What they cannot do',
    '',
    ...gaps,
  ].join('\n');
}

/** The help of every command, as the program prints it. */
export function commandsPage(): string {
  const help = (...args: string[]): string => {
    const done = spawnSync(process.execPath, [path.join(ROOT, 'bin', 'salvor.js'), ...args], {
      encoding: 'utf8',
      env: { ...process.env, COLUMNS: '100' },
    });
    if (done.status !== 0) throw new Error(`${args.join(' ')}: ${done.stderr}`);
    return done.stdout.trimEnd();
  };
  const main = help('--help');
  const names = [...main.matchAll(/^ {2}([a-z]+) \[options\]/gm)].map((m) => m[1]);
  const parts = names.map((name) => `## salvor ${name}\n\n\`\`\`\n${help(name, '--help')}\n\`\`\`\n`);
  return `# Commands\n\nMade from the program by \`npm run docs\`.\n\n\`\`\`\n${main}\n\`\`\`\n\n${parts.join('\n')}`;
}

/** The README as it stands, with its tour taken again. */
export function readme(): Promise<string> {
  return toured(fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8'));
}

/** Pages by their path in the project. */
export const PAGES: Readonly<Record<string, () => string | Promise<string>>> = {
  'docs/formats.md': formatsPage,
  'docs/commands.md': commandsPage,
  'README.md': readme,
};

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const [name, page] of Object.entries(PAGES)) fs.writeFileSync(path.join(ROOT, name), await page());
}
