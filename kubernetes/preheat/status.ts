import { MAX_MESSAGE_CHARACTERS } from './constants.ts';
import type { Condition, ImagePreheat, PreheatStatus } from './image-preheat.ts';
import type { NodeProgress } from './node-progress.ts';

/** What a status is made of. */
export interface Progress {
  /** By node: all that are selected now. */
  readonly nodes: ReadonlyMap<string, NodeProgress>;
  /** Selected nodes whose agent is not there. */
  readonly withoutAgent: number;
  /** By image: what a tag was resolved to. */
  readonly digests: ReadonlyMap<string, string>;
  /** What is wrong with the pull secrets. */
  readonly faults: readonly string[];
}

/** How it ends; `Warming`: not yet. */
export type State = NonNullable<PreheatStatus['state']>;

interface Moment {
  /** RFC 3339, whole seconds. */
  readonly time: string;
  readonly startTime: string;
}

/** The state that the progress amounts to. */
export function stateOf({ nodes }: Progress, isLate: boolean): State {
  const all = [...nodes.values()];
  if (all.length > 0 && all.every(({ isWarm }) => isWarm)) return 'Complete';
  return isLate ? 'Failed' : 'Warming';
}

/** The whole status. A condition keeps the time of its last change. */
export function statusOf(
  { spec, metadata, status }: ImagePreheat,
  progress: Progress,
  state: State,
  { time, startTime }: Moment,
): PreheatStatus {
  const nodes = [...progress.nodes.values()];
  const message = cut(describe(progress, state));
  const generation = metadata.generation ?? 0;
  const condition = (type: string, holds: boolean, reason: string): Condition => {
    const before = status?.conditions?.find((known) => known.type === type);
    const value = holds ? 'True' : 'False';
    const since = before?.status === value ? before.lastTransitionTime : time;
    return {
      type,
      status: value,
      observedGeneration: generation,
      lastTransitionTime: since,
      reason,
      message,
    };
  };
  return {
    observedGeneration: generation,
    state,
    startTime,
    ...(state !== 'Warming' && { completionTime: time }),
    imagesTotal: spec.images.length,
    nodes: {
      selected: nodes.length,
      warm: nodes.filter(({ isWarm }) => isWarm).length,
      failed: nodes.filter(({ hasFailed }) => hasFailed).length,
    },
    images: spec.images.map((image) => imageStatus(image, nodes, progress.digests.get(image))),
    conditions: [
      condition('Complete', state === 'Complete', state === 'Complete' ? 'AllNodesWarm' : reasonOf(state)),
      condition('Failed', state === 'Failed', reasonOf(state)),
    ],
  };
}

function reasonOf(state: State): string {
  if (state === 'Complete') return 'AllNodesWarm';
  return state === 'Failed' ? 'DeadlineExceeded' : 'Warming';
}

function imageStatus(
  image: string,
  nodes: readonly NodeProgress[],
  digest: string | undefined,
): NonNullable<PreheatStatus['images']>[number] {
  const faults = nodes.flatMap((node) => node.faultOf(image) ?? []);
  return {
    image,
    ...(digest !== undefined && { digest }),
    warmNodes: nodes.filter((node) => node.holds(image)).length,
    failedNodes: faults.length,
    ...(faults[0] !== undefined && { message: cut(faults[0]) }),
  };
}

function describe({ nodes, withoutAgent, faults }: Progress, state: State): string {
  const warm = [...nodes.values()].filter(({ isWarm }) => isWarm).length;
  const sentences = [nodes.size === 0 ? 'no node is selected' : `${warm} of ${nodes.size} nodes are warm`];
  if (withoutAgent > 0) sentences.push(`${withoutAgent} have no agent that could be asked`);
  const example = [...nodes].find(([, node]) => node.hasFailed);
  if (state !== 'Complete' && example !== undefined)
    sentences.push(`${example[0]}: ${firstFault(example[1])}`);
  return [...sentences, ...faults].join('; ');
}

function firstFault(node: NodeProgress): string {
  return node.missing.flatMap((image) => node.faultOf(image) ?? [])[0] ?? '';
}

function cut(text: string): string {
  return text.length > MAX_MESSAGE_CHARACTERS ? `${text.slice(0, MAX_MESSAGE_CHARACTERS - 1)}…` : text;
}
