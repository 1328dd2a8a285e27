/** One row of the tree. */
import type { ReactNode } from 'react';
import { size } from '../../../src/stack/words.ts';
import type { TreeRow } from '../lib/rows.ts';

interface Props {
  readonly id: string;
  readonly row: TreeRow;
  readonly top: number;
  readonly height: number;
  readonly isCurrent: boolean;
  readonly isChosen: boolean;
  readonly onLook: () => void;
  readonly onOpen: () => void;
  readonly onChoose: () => void;
}

const SIGNS: Readonly<Record<string, string>> = {
  evidence: '⛁',
  disk: '⛁',
  volume: '▤',
  partition: '▥',
  filesystem: '▦',
  directory: '▸',
  machine: '▣',
};

export function TreeRowView(props: Props): ReactNode {
  const { row, id, top, height, isCurrent, isChosen } = props;
  const { entry, depth } = row;
  const style = { top, height, paddingLeft: `${0.4 + depth * 1.05}rem` };
  if (entry === undefined) {
    return (
      <div className={`row${row.error === undefined ? '' : ' wrong'}`} style={style} role="none">
        {row.error ?? 'loading …'}
      </div>
    );
  }
  const state = entry.state === 'live' ? '' : entry.state;
  return (
    <div
      id={id}
      className={`row${isCurrent ? ' current' : ''}`}
      style={style}
      role="treeitem"
      tabIndex={-1}
      aria-level={depth + 1}
      aria-selected={isChosen}
      aria-current={isCurrent}
      {...(entry.expandable && { 'aria-expanded': row.isOpen })}
    >
      {/* With the keyboard this is done on the tree itself: arrows open, the space bar chooses. */}
      <span className="twist" aria-hidden="true" onClick={entry.expandable ? props.onOpen : undefined}>
        {entry.expandable ? (row.isOpen ? '▾' : '▸') : ''}
      </span>
      {entry.recoverable && (
        <span aria-hidden="true">
          {/* A plain one: hundreds of rows are drawn while somebody scrolls. */}
          <input
            type="checkbox"
            className="choose"
            tabIndex={-1}
            checked={isChosen}
            onChange={props.onChoose}
            data-choose={entry.locator}
          />
        </span>
      )}
      {SIGNS[entry.kind] !== undefined && entry.kind !== 'directory' && (
        <span aria-hidden="true">{SIGNS[entry.kind]}</span>
      )}
      <span className="name" onClick={props.onLook} onDoubleClick={entry.expandable ? props.onOpen : undefined}>
        {entry.name}
        {entry.kind === 'directory' ? '/' : ''}
        <span className="unseen">, {entry.kind}, </span>
      </span>
      {state !== '' && <span className="mark">{state}</span>}
      {entry.damage > 0 && <span className="mark wrong">damaged</span>}
      {entry.size !== undefined && entry.kind !== 'directory' && <span className="size">{size(entry.size)}</span>}
    </div>
  );
}
