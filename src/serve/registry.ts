/** Registry hives, key by key, as a preview shows them. */
import type { z } from '@hono/zod-openapi';
import { printable } from '../core/locator.ts';
import type { Source } from '../core/source.ts';
import { Hive } from '../formats/file/regf.ts';
import { LocatorError } from '../stack/locate.ts';
import type { RegistryKey } from './schemas-preview.ts';

/** What lies directly below a key; '' is the root. */
export async function registryKey(source: Source, locator: string, key: string): Promise<z.infer<typeof RegistryKey>> {
  const hive = await Hive.open(source);
  if (hive === undefined) throw new LocatorError(`${locator} is no registry hive that can be read.`);
  const found = await hive.list(key);
  if (found === undefined) throw new LocatorError(`${locator} has no key ${printable(key)}.`);
  const notes: string[] = [];
  if (hive.isDirty)
    notes.push('The last change was not written out whole: newer settings may stand in the .LOG files beside it.');
  if (hive.faults > 0) notes.push(`${hive.faults} cells of it cannot be read; what they held is not shown.`);
  if (found.isCut) notes.push('There are more keys or values than are listed.');
  return {
    keys: found.keys.map(({ name, subkeys }) => ({ name, subkeys })),
    values: found.values.map((value) => ({ ...value })),
    notes,
  };
}
