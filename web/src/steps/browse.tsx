/** Step 4: everything there is, to look at and to choose. */
import { Button, Group, SegmentedControl } from '@mantine/core';
import { useElementSize } from '@mantine/hooks';
import { type ReactNode, useState } from 'react';
import { useChoice } from '../lib/choice.ts';
import { useLive } from '../lib/live.ts';
import { useTree } from '../lib/tree.ts';
import type { Machine } from '../lib/types.ts';
import { ChainView } from '../parts/chain-view.tsx';
import { Details } from '../parts/details.tsx';
import { MachineList } from '../parts/machine-list.tsx';
import { MachinePage } from '../parts/machine-page.tsx';
import { Search } from '../parts/search.tsx';
import { TreeView } from '../parts/tree-view.tsx';

const VIEWS = ['Tree', 'Machines', 'Chains', 'Search'] as const;

export function Browse(): ReactNode {
  const { live } = useLive();
  const { chosen, clear, go, current } = useChoice();
  const [view, setView] = useState<string>('Tree');
  const [machine, setMachine] = useState<Machine>();
  const { ref, width } = useElementSize();
  const scans = live?.jobs.filter((job) => job.kind === 'scan' && job.state === 'done').length ?? 0;
  const tree = useTree(`${live?.session.sources.join('\n')} ${scans}`);
  const isNarrow = width > 0 && width < 500;
  return (
    <>
      <Group justify="space-between" mb="sm">
        <h2 style={{ margin: 0 }}>Browse</h2>
        <Group gap="xs">
          <span aria-live="polite">{chosen.size === 0 ? 'Nothing is chosen.' : `${chosen.size} chosen.`}</span>
          {chosen.size > 0 && (
            <Button size="xs" variant="default" onClick={clear}>
              Choose none
            </Button>
          )}
          <Button size="xs" onClick={() => go('recover')}>
            {chosen.size > 0 ? 'Recover what is chosen' : 'Recover everything'}
          </Button>
        </Group>
      </Group>
      <div className="two">
        <section aria-label="What there is" ref={ref}>
          <SegmentedControl fullWidth mb="xs" value={view} onChange={setView} data={[...VIEWS]} aria-label="View" />
          {view === 'Tree' && <TreeView tree={tree} height={isNarrow ? 340 : 620} />}
          {view === 'Machines' && <MachineList open={setMachine} />}
          {view === 'Chains' && <ChainView />}
          {view === 'Search' && <Search />}
        </section>
        <section aria-label="Details" className="panel">
          {view === 'Machines' && machine !== undefined ? (
            <MachinePage key={`${machine.config} ${machine.name}`} machine={machine} />
          ) : current === undefined ? (
            <p>Choose something to see what is known of it.</p>
          ) : (
            <Details key={current} locator={current} />
          )}
        </section>
      </div>
    </>
  );
}
