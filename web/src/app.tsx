/** The wizard: six steps, what is open, and what was chosen. */
import { Alert, Button, Loader } from '@mantine/core';
import { lazy, type ReactNode, Suspense, useCallback, useEffect, useMemo, useState } from 'react';
import { ApiError } from './lib/api.ts';
import { type Choice, ChoiceContext, STEPS, type StepId } from './lib/choice.ts';
import { useEvents, useLive } from './lib/live.ts';
import type { Session } from './lib/types.ts';
import { Fault } from './parts/fault.tsx';
import { StepBar } from './parts/step-bar.tsx';
import { TopBar } from './parts/top-bar.tsx';
import { DiagnosisStep } from './steps/diagnosis.tsx';

// What is seen first is there from the start: what a fallback stood for is shown a third of a second later at the earliest.
const Evidence = lazy(async () => ({ default: (await import('./steps/evidence.tsx')).Evidence }));
const ScanStep = lazy(async () => ({ default: (await import('./steps/scan.tsx')).ScanStep }));
const Browse = lazy(async () => ({ default: (await import('./steps/browse.tsx')).Browse }));
const RecoverStep = lazy(async () => ({ default: (await import('./steps/recover.tsx')).RecoverStep }));
const ReportStep = lazy(async () => ({ default: (await import('./steps/report.tsx')).ReportStep }));

export function App(): ReactNode {
  const { live, error } = useLive();
  useEvents(live !== undefined);
  if (error instanceof ApiError && error.status === 401) return <NotConnected message={error.message} />;
  if (error !== null) return <Fault error={error} />;
  if (live === undefined) return <Loader role="status" m="xl" aria-label="Connecting" />;
  return <Wizard session={live.session} />;
}

function NotConnected({ message }: { message: string }): ReactNode {
  return (
    <main className="page">
      <h1 className="brand">Salvor</h1>
      <Alert title="Not connected" mt="md">
        {message}
      </Alert>
    </main>
  );
}

function stepOf(hash: string, isOpen: boolean): StepId {
  const named = STEPS.find((step) => hash === `#/${step}`);
  if (named === 'evidence' || !isOpen) return 'evidence';
  return named ?? 'diagnosis';
}

function Wizard({ session }: { session: Session }): ReactNode {
  const isOpen = session.state === 'open';
  const isReady = isOpen || session.state === 'opening';
  const [hash, setHash] = useState(location.hash);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [current, look] = useState<string>();
  const sources = session.sources.join('\n');
  useEffect(() => {
    const changed = (): void => setHash(location.hash);
    window.addEventListener('hashchange', changed);
    return () => window.removeEventListener('hashchange', changed);
  }, []);
  useEffect(() => {
    setChosen(new Set());
    look(undefined);
  }, [sources]);
  const toggle = useCallback((locator: string): void => {
    setChosen((before) => {
      const next = new Set(before);
      if (!next.delete(locator)) next.add(locator);
      return next;
    });
  }, []);
  const go = useCallback((to: StepId): void => {
    location.hash = `#/${to}`;
  }, []);
  const choice = useMemo<Choice>(
    () => ({ chosen, toggle, clear: () => setChosen(new Set()), current, look, go }),
    [chosen, toggle, current, go],
  );
  const step = stepOf(hash, isReady);
  useEffect(() => {
    document.title = `Salvor – ${step}`;
  }, [step]);
  return (
    <ChoiceContext value={choice}>
      <div className="page">
        <TopBar session={session} />
        <StepBar step={step} isOpen={isReady} onStep={go} />
        {session.crashes > 0 && (
          <Alert color="red" title="Reading the evidence brought its process down" mb="md" role="status">
            It was started again ({session.crashes} times so far; the last time {session.crash}). The evidence was not
            touched.{' '}
            <Button size="compact-xs" variant="default" onClick={() => location.reload()}>
              Reload
            </Button>
          </Alert>
        )}
        <main>
          <Suspense fallback={<Loader role="status" m="md" aria-label="Loading" />}>
            {session.state === 'opening' && step !== 'evidence' ? (
              <Loader role="status" m="md" aria-label="Opening the evidence" />
            ) : (
              stepView(step)
            )}
          </Suspense>
        </main>
      </div>
    </ChoiceContext>
  );
}

function stepView(step: StepId): ReactNode {
  if (step === 'evidence') return <Evidence />;
  if (step === 'diagnosis') return <DiagnosisStep />;
  if (step === 'scan') return <ScanStep />;
  if (step === 'browse') return <Browse />;
  return step === 'recover' ? <RecoverStep /> : <ReportStep />;
}
