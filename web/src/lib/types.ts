/** What the API answers, as the server's own schemas say it. */
import type { z } from 'zod';
import type * as schemas from '../../../src/serve/schemas.ts';
import type * as previews from '../../../src/serve/schemas-preview.ts';

export type Session = z.infer<typeof schemas.SessionView>;
export type Job = z.infer<typeof schemas.JobView>;
export type JobRequest = z.infer<typeof schemas.JobRequest>;
export type Diagnosis = z.infer<typeof schemas.Diagnosis>;
export type Layer = schemas.LayerView;
export type Sentence = z.infer<typeof schemas.Sentence>;
export type Entry = z.infer<typeof schemas.Entry>;
export type TreePage = z.infer<typeof schemas.TreePage>;
export type NodeView = z.infer<typeof schemas.NodeView>;
export type Grades = z.infer<typeof schemas.Grades>;
export type Picture = z.infer<typeof schemas.Picture>;
export type Hex = z.infer<typeof schemas.Hex>;
export type Way = z.infer<typeof schemas.Way>;
export type Preview = z.infer<typeof previews.Preview>;
export type RegistryKey = z.infer<typeof previews.RegistryKey>;
export type Found = z.infer<typeof schemas.Found>;
export type Machine = z.infer<typeof schemas.MachineView>;
export type Machines = z.infer<typeof schemas.Machines>;
export type Plan = z.infer<typeof schemas.Plan>;
export type Chains = z.infer<typeof schemas.Chains>;
export type Devices = z.infer<typeof schemas.Devices>;
export type Folder = z.infer<typeof schemas.Folder>;
export type CaseView = z.infer<typeof schemas.CaseView>;
