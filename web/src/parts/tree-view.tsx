/** The tree: only the rows that are seen are drawn, however many there are. */
import { type KeyboardEvent, memo, type ReactNode, useEffect, useId, useRef, useState } from 'react';
import { useChoice } from '../lib/choice.ts';
import type { TreeRow } from '../lib/rows.ts';
import type { Tree } from '../lib/tree.ts';
import { TreeRowView } from './tree-row.tsx';

const HEIGHT = 30;
/** Rows that are drawn before and behind those that are seen. */
const SPARE = 12;
/** Scrolling by less than so many rows draws nothing anew. */
const STRIDE = 6;
/** Rows that a key moves by. */
const MOVES: Readonly<Record<string, number>> = {
  ArrowDown: 1,
  ArrowUp: -1,
  PageDown: 15,
  PageUp: -15,
  Home: Number.NEGATIVE_INFINITY,
  End: Number.POSITIVE_INFINITY,
};

export function TreeView({ tree, height }: { tree: Tree; height: number }): ReactNode {
  const { rows } = tree;
  const { chosen, toggle, look, current } = useChoice();
  const [active, setActive] = useState(0);
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const first = Math.max(0, top - SPARE);
  const items = rows.slice(first, top + Math.ceil(height / HEIGHT) + STRIDE + SPARE);
  useLoading(
    items.map(({ more }) => more).filter((more) => more !== undefined),
    tree.load,
  );
  const move = (to: number): void => {
    const next = Math.max(0, Math.min(rows.length - 1, to));
    setActive(next);
    showRow(box.current, next);
    const entry = rows[next]?.entry;
    if (entry !== undefined) look(entry.locator);
  };
  const acts = useRef({ move, toggle: tree.toggle });
  acts.current = { move, toggle: tree.toggle };
  const actionOf = (key: string): (() => void) | undefined => {
    const row = rows[active];
    const entry = row?.entry;
    if (Object.hasOwn(MOVES, key)) return () => move(active + MOVES[key]);
    if (key === ' ') return () => entry?.recoverable === true && toggle(entry.locator);
    const isOpening = key === 'ArrowRight' && entry?.expandable === true && !row.isOpen;
    const isClosing = key === 'ArrowLeft' && row?.isOpen === true;
    if (entry !== undefined && (isOpening || isClosing)) return () => tree.toggle(active);
    if (key === 'ArrowRight') return () => move(active + 1);
    return key === 'ArrowLeft' ? () => move(parentOf(rows, active)) : undefined;
  };
  const pressed = (event: KeyboardEvent): void => {
    const action = actionOf(event.key);
    if (action === undefined || event.target !== event.currentTarget) return;
    event.preventDefault();
    action();
  };
  return (
    <div
      ref={box}
      className="rows"
      style={{ height }}
      role="tree"
      aria-label="Everything in the evidence"
      aria-multiselectable="true"
      tabIndex={0}
      aria-activedescendant={rows[active] === undefined ? undefined : `${id}-${active}`}
      onKeyDown={pressed}
      onScroll={(event) => setTop(Math.floor(event.currentTarget.scrollTop / HEIGHT / STRIDE) * STRIDE)}
    >
      <div role="none" style={{ height: rows.length * HEIGHT, position: 'relative' }}>
        {items.map((row, i) => (
          <Row
            key={`${first + i} ${row.key}`}
            id={`${id}-${first + i}`}
            row={row}
            top={(first + i) * HEIGHT}
            height={HEIGHT}
            isCurrent={row.entry !== undefined && row.entry.locator === current}
            isChosen={chosen.has(row.entry?.locator ?? '')}
            onLook={() => acts.current.move(first + i)}
            onOpen={() => acts.current.toggle(first + i)}
            onChoose={() => toggle(row.entry!.locator)}
          />
        ))}
      </div>
    </div>
  );
}

/** A row whose index and thing are the same does the same: what it calls may be of an earlier drawing. */
const Row = memo(
  TreeRowView,
  (a, b) =>
    a.row === b.row && a.top === b.top && a.isCurrent === b.isCurrent && a.isChosen === b.isChosen && a.id === b.id,
);

/** Scrolls as little as brings a row into sight. */
function showRow(box: HTMLDivElement | null, index: number): void {
  if (box === null) return;
  const top = index * HEIGHT;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + HEIGHT > box.scrollTop + box.clientHeight) box.scrollTop = top + HEIGHT - box.clientHeight;
}

function parentOf(rows: readonly TreeRow[], index: number): number {
  const { depth } = rows[index] ?? { depth: 0 };
  for (let i = index - 1; i >= 0; i--) if (rows[i].depth < depth) return i;
  return index;
}

/** Asks for what stands behind rows that are seen and not loaded yet. */
function useLoading(parents: readonly string[], load: (parent: string) => void): void {
  useEffect(() => {
    for (const parent of parents) load(parent);
  }, [parents, load]);
}
