// npm start: installs what is needed, builds, and runs the main job: brings machines out of a damaged datastore.
// Without arguments out of a sample that it makes first, and proves the result. With arguments:
//   npm start -- SOURCE... [--out DIR]
// Then, in a terminal or with --serve, it opens the web interface on the same and serves it until Ctrl-C.
'use strict';
const { spawnSync } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { root, install, build, projectNode, projectEnv } = require('./setup.cjs');

const FINISHED = [0, 1]; // intact, or something missing or uncertain
const MAX_TRIES = 100;
const SAMPLE_OUT = 'sample/recovered';
const BLOCK = 1024 * 1024;

/** Runs salvor with its output shown, after the line that a person would type. Answers its exit code. */
function salvor(cwd, ...args) {
  const quoted = args.map((arg) => (/^[-\w./:=]+$/.test(arg) ? arg : `'${arg}'`));
  console.log(`\n$ salvor ${quoted.join(' ')}`);
  const launcher = path.join(root, 'bin', 'salvor.js');
  const done = spawnSync(projectNode(), [launcher, ...args], { cwd, stdio: 'inherit', env: projectEnv() });
  if (done.error) throw done.error;
  return done.status === null ? 130 : done.status;
}

/** Makes the sample unless it is there and complete: its truth is written last. */
function sample() {
  const truth = path.join(root, 'sample', 'truth.json');
  if (fs.existsSync(truth)) console.log('The sample datastore in sample/ is there from an earlier run.');
  else {
    console.log('Making a sample datastore in sample/ and damaging it …');
    const made = spawnSync(projectNode(), [path.join(root, 'test', 'make', 'sample.ts'), path.join(root, 'sample')], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    if (made.status !== 0) throw new Error('The sample could not be made.');
  }
  return JSON.parse(fs.readFileSync(truth, 'utf8'));
}

/** Recovers to DIR; where that holds something else, to DIR-2, DIR-3, … A finished recovery is only checked again. */
function recover(cwd, sources, wanted) {
  for (let n = 1; n <= MAX_TRIES; n++) {
    const out = n === 1 ? wanted : `${wanted}-${n}`;
    const wasThere = fs.existsSync(path.resolve(cwd, out));
    const code = salvor(cwd, 'recover', ...sources, '--out', out);
    // Only the sample's own place may be chosen anew, and only where it is in the way, not where the disk is full.
    if (code !== 2 || !wasThere || wanted !== SAMPLE_OUT) return { code, out };
    console.log(`${out} holds something else, so the next name is taken.`);
  }
  throw new Error(`${wanted} and ${MAX_TRIES - 1} more names are taken. Remove some of them.`);
}

function sha256(file) {
  const hash = crypto.createHash('sha256');
  const block = Buffer.alloc(BLOCK);
  const fd = fs.openSync(file, 'r');
  try {
    for (let n = fs.readSync(fd, block); n > 0; n = fs.readSync(fd, block)) hash.update(block.subarray(0, n));
  } finally {
    fs.closeSync(fd);
  }
  return hash.digest('hex');
}

/** The path inside the datastore that a locator names, as hexadecimal bytes; %XX is a byte. */
function rawPath(locator) {
  const inner = locator.slice(locator.lastIndexOf('::vmfs') + '::vmfs'.length);
  const parts = inner.split(/%([0-9a-f]{2})/i);
  return Buffer.concat(parts.map((part, i) => Buffer.from(part, i % 2 === 0 ? 'utf8' : 'hex'))).toString('hex');
}

/** Departures of one file from what was made. */
function departures(made, entry, dir) {
  if (entry === undefined) return ['was not recovered'];
  const file = path.join(dir, entry.path);
  const stat = fs.lstatSync(file, { throwIfNoEntry: false });
  if (stat === undefined) return [`${entry.path} is not there`];
  if (made.kind === 'directory') return stat.isDirectory() ? [] : [`${entry.path} is no directory`];
  const out = [];
  if (!stat.isFile()) return [`${entry.path} is no regular file`];
  if (made.kind === 'file' && stat.size !== made.size) out.push(`has ${stat.size} bytes, not ${made.size}`);
  if (made.sha256 !== null && sha256(file) !== made.sha256) out.push('has other bytes');
  if (JSON.stringify(entry.gaps) !== JSON.stringify(made.gaps)) {
    out.push(`has gaps ${JSON.stringify(entry.gaps)}, not ${JSON.stringify(made.gaps)}`);
  }
  if (made.kind !== 'file' || made.size === 0) return out;
  const bounds = { inferred: ['inferred'], stated: ['stated', 'verified'] };
  const allowed = made.gaps.length > 0 ? ['missing'] : bounds[made.certainty];
  if (!allowed.includes(entry.certainty.worst)) {
    out.push(`is said to be ${entry.certainty.worst} at worst, not ${allowed.join(' or ')}`);
  }
  return out;
}

/** Why a file is less than whole and sure, from its manifest entry. */
function blemishes(made, entry) {
  const why = (entry.reasons || []).map((r) => r.code).concat(entry.damage.map((d) => d.code));
  const code = [...new Set(why)].join(', ');
  const out = made.gaps.map(
    ([at, n]) => `${made.path}: ${n} bytes from ${at} on are missing (${code}); zeros stand there`,
  );
  if (made.certainty === 'inferred') out.push(`${made.path}: all bytes are there, but only inferred (${code})`);
  return out;
}

/** The proof, without the program's own help. Checks the files in `dir` and its manifest against the truth: lines for a person, and everything that is wrong. */
function checkAgainstTruth(truth, dir) {
  const manifest = JSON.parse(fs.readFileSync(path.join(dir, 'manifest.json'), 'utf8'));
  const entries = new Map(manifest.files.map((entry) => [rawPath(entry.locator), entry]));
  const wrong = [];
  const lost = [];
  let bytes = 0;
  let missing = 0;
  for (const made of truth.files) {
    const entry = entries.get(made.rawPath);
    for (const what of departures(made, entry, dir)) wrong.push(`${made.path} ${what}`);
    if (entry === undefined) continue;
    lost.push(...blemishes(made, entry));
    bytes += made.kind === 'file' ? made.size : 0;
    for (const [, length] of made.gaps) missing += length;
  }
  const known = new Set(truth.files.map((made) => made.rawPath));
  for (const [raw, entry] of entries) {
    if (!known.has(raw) && entry.kind !== 'filesystem') wrong.push(`${entry.path} was never made`);
  }
  const files = truth.files.filter((made) => made.kind !== 'directory').length;
  const machines = manifest.machines.map((machine) => machine.name).join(', ');
  const lines = [
    `Recovered: ${files} files of ${bytes} bytes, machines ${machines}; ${missing} bytes are missing.`,
    ...lost.map((line) => `  ${line}`),
    wrong.length === 0
      ? 'Proof: every recovered file has the SHA-256 of what was made, with zeros exactly where bytes are missing.'
      : `Proof: ${wrong.length} departures from what was made.`,
  ];
  return { lines, wrong };
}

function runSample() {
  const truth = sample();
  console.log('\nWhat was done to it (sample/README.txt):');
  for (const line of truth.damage) console.log(`  - ${line}`);
  const image = `sample/${truth.images[0]}`;
  salvor(root, 'inspect', image);
  salvor(root, 'ls', `${image}::/`);
  salvor(root, 'ls', `${image}::/db01`);
  const { code, out } = recover(root, [image], SAMPLE_OUT);
  if (!FINISHED.includes(code)) throw new Error(`salvor recover ended with exit code ${code}.`);
  const verified = salvor(root, 'verify', out);
  const { lines, wrong } = checkAgainstTruth(truth, path.join(root, out));
  console.log(`\n${lines.join('\n')}`);
  if (!FINISHED.includes(verified)) wrong.push(`salvor verify ended with exit code ${verified}`);
  if (wrong.length > 0) {
    console.error(`\nThis is not what was made:\n  ${wrong.join('\n  ')}`);
    return 1;
  }
  console.log(`\nIt lies in ${out}/; manifest.json there says where every byte came from.`);
  console.log(
    'Your own: npm start -- SOURCE... [--out DIR], where a source is an image, a disk or a directory of them.',
  );
  return 0;
}

/** From the directory where npm was called: sources are named relative to that. */
function runOn(args) {
  const cwd = process.env.INIT_CWD || process.cwd();
  const at = args.indexOf('--out');
  const out = at < 0 ? 'recovered' : args[at + 1];
  const sources = args.filter((_, i) => at < 0 || (i !== at && i !== at + 1));
  const option = sources.find((arg) => arg.startsWith('-'));
  if (out === undefined || sources.length === 0 || option !== undefined) {
    if (option !== undefined && option !== '--help') console.error(`${option} is no option here.`);
    console.error(
      'npm start -- SOURCE... [--out DIR]\nFor everything else call the program: node bin/salvor.js --help',
    );
    return option === '--help' ? 0 : 2;
  }
  const inspected = salvor(cwd, 'inspect', ...sources);
  if (!FINISHED.includes(inspected)) return inspected;
  const { code } = recover(cwd, sources, out);
  if (!FINISHED.includes(code)) return code;
  console.log(`\nIt lies in ${path.resolve(cwd, out)}. To check it again: node bin/salvor.js verify '${out}'`);
  return code;
}

/** Whether to stay: a person is there to open the address, or asked for it. */
function wantsServer(given) {
  return given.includes('--serve') || (process.stdout.isTTY === true && process.env.CI !== 'true');
}

/** Serves the web interface until it is ended. */
function serve(cwd, sources) {
  console.log('\nThe same in a browser:');
  salvor(cwd, 'serve', ...sources);
}

const given = process.argv.slice(2);
const args = given.filter((arg) => arg !== '--serve');
install();
build();
try {
  process.exitCode = args.length === 0 ? runSample() : runOn(args);
  const at = args.indexOf('--out');
  const sources = args.filter((_, i) => at < 0 || (i !== at && i !== at + 1));
  if (FINISHED.includes(process.exitCode) && !args.includes('--help') && wantsServer(given)) {
    if (args.length === 0) serve(path.join(root, 'sample'), ['datastore.img']);
    else serve(process.env.INIT_CWD || process.cwd(), sources);
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 2;
}
