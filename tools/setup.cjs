// Makes a bare checkout ready: installs what package-lock.json names and builds dist/.
// Runs on any Node, before anything is installed, so it uses nothing but Node itself.
'use strict';
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const root = path.join(__dirname, '..');

/** Runs a program in the project folder with its output shown; ends this process when it fails. */
function run(command, args, options) {
  const done = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (done.error) {
    console.error(`${command} could not be started: ${done.error.message}`);
    process.exit(2);
  }
  if (done.status !== 0) process.exit(done.status === null ? 2 : done.status);
}

/** The Node that the project brings along, or this one where the platform has none. */
function projectNode() {
  const bundled = path.join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
  return fs.existsSync(bundled) ? bundled : process.execPath;
}

/** Environment in which node, npx and the tools of node_modules are the project's own. */
function projectEnv(extra) {
  const bin = path.join(root, 'node_modules', '.bin');
  return { ...process.env, PATH: bin + path.delimiter + process.env.PATH, ...extra };
}

/** npm's own record of what is installed is newer than the lock file when nothing has changed since. */
function installed() {
  const record = path.join(root, 'node_modules', '.package-lock.json');
  if (!fs.existsSync(record)) return false;
  return fs.statSync(record).mtimeMs >= fs.statSync(path.join(root, 'package-lock.json')).mtimeMs;
}

function install() {
  if (installed()) return;
  const modules = path.join(root, 'node_modules');
  if (fs.lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink()) {
    console.error(`${modules} is a link, and npm ci would empty what it leads to. Remove the link or install there.`);
    process.exit(2);
  }
  console.log('Installing what the project needs (npm ci) …');
  // Build is a step of its own below, so a failing build is reported as one.
  run('npm', ['ci', '--ignore-scripts', '--loglevel=error']);
  const now = new Date();
  fs.utimesSync(path.join(root, 'node_modules', '.package-lock.json'), now, now);
}

function build() {
  const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  if (!fs.existsSync(tsc)) return; // a production install has no compiler and brings dist/ along
  fs.rmSync(path.join(root, 'dist'), { recursive: true, force: true });
  run(projectNode(), [tsc, '-p', 'tsconfig.build.json']);
  // The command line once more in few files: loading sixty modules one by one is half of its start.
  run(projectNode(), [path.join(root, 'tools', 'bundle.mjs')]);
  // The web interface; what builds it is there where the project is developed.
  const vite = path.join(root, 'node_modules', 'vite', 'bin', 'vite.js');
  if (fs.existsSync(vite))
    run(projectNode(), [vite, 'build', path.join(root, 'web'), '--config', path.join(root, 'web', 'vite.config.ts')]);
}

module.exports = { root, run, install, build, projectNode, projectEnv };
