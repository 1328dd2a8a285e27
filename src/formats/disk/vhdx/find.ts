/** VHDX files found anywhere, by their first bytes. Source: vhdx.md. */
import { type Finder, textKey } from '../../../core/finder.ts';

export const vhdxFinder: Finder = {
  align: 4096,
  keys: [textKey(0, 'vhdxfile')],
  need: 512,
  examine(block, at, emit) {
    const creator = new TextDecoder('utf-16le')
      .decode(block.subarray(8, Math.min(block.length, 264)))
      .replace(/\0[\s\S]*$/, '');
    emit({ kind: 'vhdx.identifier', at, length: 512, base: at, facts: { creator: creator.replace(/[^ -~]/g, '.') } });
  },
};
