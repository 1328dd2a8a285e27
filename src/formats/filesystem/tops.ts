/** Where trees of directories that hang nowhere begin. */

/** What no other names, and one of each ring of directories that only name each other. */
export function topsOf(left: ReadonlyMap<number, unknown>, below: ReadonlyMap<number, readonly number[]>): number[] {
  const named = new Set<number>();
  for (const list of below.values()) for (const one of list) named.add(one);
  const out: number[] = [];
  const met = new Set<number>();
  const take = (top: number): void => {
    out.push(top);
    const queue = [top];
    for (let one = queue.pop(); one !== undefined; one = queue.pop()) {
      if (met.has(one)) continue;
      met.add(one);
      queue.push(...(below.get(one) ?? []));
    }
  };
  const all = [...left.keys()].sort((a, b) => a - b);
  for (const number of all) if (!named.has(number)) take(number);
  for (const number of all) if (!met.has(number)) take(number);
  return out;
}
