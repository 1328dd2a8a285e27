/** The six steps, and the one that is open. */
import type { ReactNode } from 'react';
import { STEPS, type StepId } from '../lib/choice.ts';

const LABELS: Readonly<Record<StepId, string>> = {
  evidence: 'Evidence',
  diagnosis: 'Diagnosis',
  scan: 'Scan',
  browse: 'Browse',
  recover: 'Recover',
  report: 'Report',
};

export function StepBar(props: { step: StepId; isOpen: boolean; onStep: (step: StepId) => void }): ReactNode {
  return (
    <nav aria-label="Steps">
      <ol className="steps">
        {STEPS.map((step, i) => (
          <li key={step}>
            <button
              type="button"
              aria-current={step === props.step ? 'step' : undefined}
              disabled={!props.isOpen && step !== 'evidence'}
              onClick={() => props.onStep(step)}
            >
              <span className="number">{i + 1}</span>
              <span className="label">{LABELS[step]}</span>
            </button>
          </li>
        ))}
      </ol>
    </nav>
  );
}
