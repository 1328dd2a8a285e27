/** The bytes of a thing: rows that are asked for when they are seen, and the way of the one that is pointed at. */
import { useElementSize } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { useVirtualizer } from '@tanstack/react-virtual';
import { type KeyboardEvent, type ReactNode, useRef, useState } from 'react';
import { get } from '../lib/api.ts';
import type { Hex } from '../lib/types.ts';
import { Fault } from './fault.tsx';
import { FieldView } from './field-view.tsx';
import { HexForm } from './hex-form.tsx';
import { HexRow } from './hex-row.tsx';
import { WayView } from './way-view.tsx';

/** Bytes that can be scrolled through at once; browsers know no element as high as a large disk. */
const WINDOW = 256 * 1024;
const LINE = 20;

export function HexView({ locator }: { locator: string }): ReactNode {
  const [base, setBase] = useState(0);
  const [at, setAt] = useState(0);
  const { ref, width } = useElementSize();
  const perRow = width > 0 && width < 520 ? 8 : 16;
  const first = useQuery({
    queryKey: ['hex-size', locator],
    queryFn: ({ signal }) => get<Hex>('/api/hex', { locator, from: 0, length: 1 }, signal),
  });
  const box = useRef<HTMLDivElement>(null);
  const size = first.data?.size ?? 0;
  const count = Math.ceil(Math.min(WINDOW, size - base) / perRow);
  const virtual = useVirtualizer({
    count,
    getScrollElement: () => box.current,
    estimateSize: () => LINE,
    overscan: 8,
  });
  if (first.error !== null) return <Fault error={first.error} />;
  const goTo = (wanted: number): void => {
    if (!Number.isSafeInteger(wanted) || size === 0) return;
    const next = Math.max(0, Math.min(size - 1, wanted));
    const from = next >= base && next < base + WINDOW ? base : Math.floor(next / WINDOW) * WINDOW;
    setBase(from);
    setAt(next);
    virtual.scrollToIndex(Math.floor((next - from) / perRow));
  };
  const pressed = (event: KeyboardEvent): void => {
    const step = stepOf(event.key, perRow);
    if (step === undefined) return;
    event.preventDefault();
    goTo(at + step);
  };
  return (
    <div ref={ref}>
      <HexForm key={at} at={at} base={base} size={size} step={WINDOW} onGo={goTo} />
      <div
        ref={box}
        className="rows hex"
        style={{ height: 360 }}
        tabIndex={0}
        role="group"
        aria-label={`Bytes from ${base} on; arrow keys move`}
        onKeyDown={pressed}
      >
        <div style={{ height: virtual.getTotalSize(), position: 'relative', minWidth: perRow * 34 }}>
          {virtual.getVirtualItems().map((item) => (
            <HexRow
              key={item.key}
              locator={locator}
              offset={base + item.index * perRow}
              count={Math.min(perRow, size - base - item.index * perRow)}
              top={item.start}
              at={at}
              onPoint={goTo}
            />
          ))}
        </div>
      </div>
      {size > 0 && <FieldView locator={locator} at={at} />}
      {size > 0 && <WayView locator={locator} at={at} />}
    </div>
  );
}

/** How far a key moves. */
function stepOf(key: string, perRow: number): number | undefined {
  const steps: Readonly<Record<string, number>> = {
    ArrowRight: 1,
    ArrowLeft: -1,
    ArrowDown: perRow,
    ArrowUp: -perRow,
    PageDown: perRow * 16,
    PageUp: -perRow * 16,
  };
  return steps[key];
}
