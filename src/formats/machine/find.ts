/** Texts of machines found anywhere: configurations and logs. */
import { type Finder, textKey } from '../../core/finder.ts';
import { latin1 } from '../../core/struct.ts';

const TEXT = 4096;

/** Configurations; `name` is the machine's where it stands near the start. */
export const vmxFinder: Finder = {
  align: 512,
  keys: [textKey(0, '.encoding = "'), textKey(0, '#!/usr/bin/vmware')],
  need: TEXT,
  examine(block, at, emit) {
    const text = latin1(block, 0, block.length);
    const name = /^displayName\s*=\s*"([^"\r\n\0]{1,120})"/im.exec(text)?.[1];
    if (!/^(config\.version|virtualHW\.version|displayName)\s*=/im.test(text)) return;
    emit({ kind: 'vmx.text', at, length: 512, facts: name === undefined ? {} : { name } });
  },
};
