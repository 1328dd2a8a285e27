// Part of npm run build: dist/run/ is the command line in few files, with its threads beside it.
import * as path from 'node:path';
import { rolldown } from 'rolldown';

const dist = path.join(import.meta.dirname, '..', 'dist');
const bundle = await rolldown({
  input: {
    main: path.join(dist, 'cli', 'main.js'),
    'copy-worker': path.join(dist, 'export', 'copy-worker.js'),
    'serve-child': path.join(dist, 'serve', 'serve-child.js'),
    'scan-worker': path.join(dist, 'scan', 'scan-worker.js'),
  },
  platform: 'node',
  // These load binaries and WebAssembly of their own.
  external: ['@napi-rs/blake-hash', 'hash-wasm'],
  logLevel: 'warn',
});
await bundle.write({
  dir: path.join(dist, 'run'),
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: '[name]-[hash].js',
  // Names stay, so that a fault can still be read; a quarter less text is a tenth of a short command's time.
  minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
});
await bundle.close();
