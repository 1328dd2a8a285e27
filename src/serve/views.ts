/** Nodes, machines, chains and the diagnosis as the API hands them out. */
import type { z } from '@hono/zod-openapi';
import { type Damage, sentence } from '../core/damage.ts';
import { printable } from '../core/locator.ts';
import type { Node } from '../core/node.ts';
import { adviceIn, type Diagnosis, type Layer, sentencesOf, titleOf } from '../stack/diagnosis.ts';
import type { Machine } from '../stack/machines.ts';
import type { SolvedChain } from '../stack/solve.ts';
import { HOW, isWhole } from '../stack/solved.ts';
import { shown } from '../stack/words.ts';
import type { Chains, Entry, LayerView, MachineView, Sentence } from './schemas.ts';
import { ENDINGS, isExpandable } from './session.ts';

type EntryView = z.infer<typeof Entry>;
type SentenceView = z.infer<typeof Sentence>;

/** Sentences of one thing that are handed out. */
const MAX_SENTENCES = 200;

/** A node as a line of a listing. */
export function entryOf(node: Node): EntryView {
  const { locator, kind, state, format, facts, damage } = node;
  return {
    locator,
    name: nameOf(node),
    kind,
    state,
    ...(format !== undefined && { format }),
    ...(facts.size !== undefined && { size: facts.size }),
    ...(facts.modified !== undefined && { modified: facts.modified }),
    damage: damage.length,
    expandable: isExpandable(node, ENDINGS),
    recoverable: ['file', 'directory', 'symlink', 'filesystem'].includes(kind),
  };
}

function nameOf(node: Node): string {
  if (node.kind === 'partition') return `${node.name}: ${node.facts.details?.type ?? ''}`;
  if (node.kind === 'filesystem') return `${node.format} "${node.name}"`;
  if (node.kind === 'machine') return `machine "${node.name}"`;
  if ((node.kind === 'disk' || node.kind === 'volume') && node.format !== undefined) return node.format;
  if (node.facts.target !== undefined) return `${node.name} → ${printable(node.facts.target)}`;
  return node.name;
}

/** What is to say of a node beside its facts: notices and damage. */
export function sentencesFor(node: Node): SentenceView[] {
  const damage = node.damage.slice(0, MAX_SENTENCES).map((one) => ({ text: shown(sentence(one)), wrong: true }));
  return [...(node.notices ?? []).map((text) => ({ text: shown(text), wrong: false })), ...damage];
}

/** The diagnosis as a tree of sentences, the same that `salvor inspect` prints. */
export function layerView(layer: Layer): LayerView {
  const { node } = layer;
  const said = sentencesOf(layer).slice(0, MAX_SENTENCES);
  const sentences = said.map((line) => ({ text: shown(line.replace(/^! /, '')), wrong: line.startsWith('! ') }));
  const isHurt = node.damage.length > 0 || (layer.contents?.damaged ?? 0) > 0 || sentences.some(({ wrong }) => wrong);
  const isEmpty = node.kind === 'evidence' && layer.inside.length === 0;
  return {
    locator: node.locator,
    title: shown(titleOf(node)),
    kind: node.kind,
    health: isHurt ? 'damaged' : isEmpty ? 'unknown' : 'sound',
    sentences,
    inside: layer.inside.map(layerView),
  };
}

/** What to do now and what not, from what was found. */
export function adviceOf({ layers, found }: Diagnosis): SentenceView[] {
  const out: SentenceView[] = [];
  const all = [...flat(layers)];
  const unreadable =
    all.some((layer) => layer.unreadable !== undefined) || all.some((l) => hasCode(l.node.damage, 'unreadable'));
  const encrypted = all.some(
    ({ contents }) => (contents?.encrypted.files.length ?? 0) + (contents?.encrypted.folders ?? 0) > 0,
  );
  if (found.known === 0) {
    out.push({
      text: 'Nothing known was found by metadata. A scan reads all of it once and looks for pieces.',
      wrong: true,
    });
  } else if (found.damaged === 0) {
    out.push({ text: 'No damage was found in the metadata; what is listed can be had.', wrong: false });
  } else out.push({ text: 'What is marked is damaged; the rest can be had.', wrong: false });
  out.push({
    text: 'Do not mount it, repair it or write to it from a host, and do not recover onto it. Salvor itself only reads it.',
    wrong: false,
  });
  for (const text of adviceIn(layers)) out.push({ text: shown(text), wrong: false });
  if (unreadable)
    out.push({
      text: 'Parts of it cannot be read. Copy it first with "salvor image", and work on the copy.',
      wrong: true,
    });
  if (encrypted)
    out.push({ text: 'Files look encrypted. Keep the originals as they are: a key may turn up one day.', wrong: true });
  return out;
}

function* flat(layers: readonly Layer[]): Generator<Layer> {
  for (const layer of layers) {
    yield layer;
    yield* flat(layer.inside);
  }
}

function hasCode(damage: readonly Damage[], code: string): boolean {
  return damage.some((one) => one.code === code);
}

export function machineView(machine: Machine): z.infer<typeof MachineView> {
  const { name, config, folder, disks, node } = machine;
  return {
    name,
    config: config.locator,
    ...(folder !== undefined && { folder: folder.locator }),
    disks: disks.map(({ slot, file, chain, files, broken }) => ({
      slot,
      file: shown(printable(file)),
      chain: chain.map((link) => link.locator),
      files: files.map((one) => one.locator),
      ...(broken !== undefined && { broken }),
    })),
    details: { ...node.facts.details },
  };
}

/** Solved chains, each from what a machine writes to down to its base. */
export function chainViews(chains: readonly SolvedChain[]): z.infer<typeof Chains>['chains'] {
  return chains.map((chain) => ({
    missing: chain.missing,
    whole: isWhole(chain),
    notices: chain.notices.map(shown),
    inside: [
      ...chain.guest.clashes.map((text) => ({ text: shown(text), wrong: true })),
      ...[...chain.guest.unknown, ...chain.guest.fits].map((text) => ({ text: shown(text), wrong: false })),
    ],
    levels: chain.levels.map(({ disk, held, tie, users }) => ({
      locator: disk.file.locator,
      ...(disk.layer?.format !== undefined && { format: disk.layer.format }),
      size: disk.source.size,
      own: held.own,
      users: users.map(shown),
      damage: disk.layer?.damage.length ?? 0,
      ...(tie !== undefined && {
        tie: {
          how: tie.how,
          said: HOW[tie.how],
          reasons: tie.reasons.map(shown),
          offers: tie.offers.map((offer) => ({
            locator: offer.disk.file.locator,
            verdict: offer.isTaken ? 'taken' : offer.isRejected ? 'rejected' : 'possible',
            reasons: offer.reasons.map(shown),
          })),
        },
      }),
    })),
  }));
}
