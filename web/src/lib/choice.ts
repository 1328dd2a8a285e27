/** What was chosen to be recovered, for all steps of the wizard. */
import { createContext, useContext } from 'react';

export interface Choice {
  readonly chosen: ReadonlySet<string>;
  toggle(locator: string): void;
  clear(): void;
  /** The thing that is looked at. */
  readonly current: string | undefined;
  look(locator: string): void;
  go(step: StepId): void;
}

export const STEPS = ['evidence', 'diagnosis', 'scan', 'browse', 'recover', 'report'] as const;
export type StepId = (typeof STEPS)[number];

export const ChoiceContext = createContext<Choice | undefined>(undefined);

export function useChoice(): Choice {
  const choice = useContext(ChoiceContext);
  if (choice === undefined) throw new Error('useChoice outside of the wizard');
  return choice;
}
