// npm test: installs what is needed, builds, runs all tests, and closes with "N passed, N failed".
// --peers (or CI=true) installs the peers from Debian first. Other arguments go to vitest.
'use strict';
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { root, install, build, projectNode, projectEnv } = require('./setup.cjs');
const { installPeers } = require('./peers.cjs');

const args = process.argv.slice(2);
const ci = process.env.CI === 'true';
install();
build();
if (ci || args.includes('--peers')) installPeers();

const report = path.join(root, '.cache', `test-${process.pid}.json`);
fs.mkdirSync(path.dirname(report), { recursive: true });
const vitest = path.join(root, 'node_modules', 'vitest', 'vitest.mjs');
const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
const run = spawnSync(projectNode(), [vitest, 'run', ...reporters, ...args.filter((a) => a !== '--peers')], {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit'],
  env: projectEnv(),
});

let passed = 0;
let failed = 0;
const skipped = [];
try {
  const results = JSON.parse(fs.readFileSync(report, 'utf8'));
  for (const file of results.testResults) {
    for (const test of file.assertionResults) {
      if (test.status === 'passed') passed++;
      else if (test.status === 'failed') failed++;
      else skipped.push(test.fullName);
    }
    // A file that fell over before its tests ran is a failure of its own.
    if (file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed')) failed++;
  }
} catch (error) {
  console.error(`No report of the tests: ${error.message}`);
}
fs.rmSync(report, { force: true });
for (const name of skipped) console.log(`skipped: ${name}`);
const bad = failed > 0 || passed === 0 || run.status !== 0;
if (skipped.length > 0) console.log(`${skipped.length} skipped`);
// Alone on the last line: this is what reads it.
console.log(`${passed} passed, ${bad && failed === 0 ? 1 : failed} failed`);
process.exit(bad ? 1 : 0);
