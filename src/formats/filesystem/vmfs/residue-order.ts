/**
 * Names without bytes and bytes without names, of one kind and size: descriptors and blocks are both given out in turn,
 * so what was made between two files mostly lies between their bytes. A guess, made only where what is still known of
 * both keeps to that order and where as many of the one are left as of the other. Source: vmfs.md section 8.7.
 */

/** A file of which both is known: its descriptor's number, and where its bytes begin. */
export interface Anchor {
  readonly index: number;
  readonly at: number;
}

/** Each file once, in order; one that is said to begin in two places tells nothing. */
function settled(anchors: readonly Anchor[]): Anchor[] {
  const places = new Map<number, Set<number>>();
  for (const { index, at } of anchors) places.set(index, (places.get(index) ?? new Set()).add(at));
  const out: Anchor[] = [];
  for (const [index, [at, ...more]] of places) if (more.length === 0) out.push({ index, at });
  return out.sort((a, b) => a.index - b.index);
}

/** Pairs of a name and bytes. `anchors` are files of the same kind and size that have both. */
export function inTurn<N extends { readonly index: number }, P extends { readonly at: number }>(
  names: readonly N[],
  pieces: readonly P[],
  anchors: readonly Anchor[],
): [N, P][] {
  const known = settled(anchors);
  if (names.some(({ index }) => index < 0)) return [];
  for (let i = 1; i < known.length; i++) if (known[i].at <= known[i - 1].at) return [];
  const order = [...names].sort((a, b) => a.index - b.index);
  const places = [...pieces].sort((a, b) => a.at - b.at);
  const out: [N, P][] = [];
  let [n, p] = [0, 0];
  for (let i = 0; i <= known.length; i++) {
    const [firstName, firstPiece] = [n, p];
    // What stands at a file that is whole is a copy of it, and belongs to neither side.
    while (n < order.length && (i === known.length || order[n].index < known[i].index)) n++;
    while (p < places.length && (i === known.length || places[p].at < known[i].at)) p++;
    if (n - firstName === p - firstPiece) for (let k = firstName; k < n; k++) out.push([order[k], places[p - n + k]]);
    while (n < order.length && order[n].index === known[i]?.index) n++;
    while (p < places.length && places[p].at === known[i]?.at) p++;
  }
  return out;
}
