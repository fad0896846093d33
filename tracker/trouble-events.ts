import type { Trouble } from '#swarm/announce/messages.ts';

/** Of the Event on a node whose member has that trouble. */
interface TroubleEvent {
  /** In CamelCase. */
  readonly reason: string;
  /** What is wrong, what follows, what to do. */
  readonly message: string;
}

const TROUBLES: Readonly<Record<Trouble, TroubleEvent>> = {
  'store-full': {
    reason: 'ShoalStoreFull',
    message:
      'Shoal on this node has no room for what is pulled: pulls go on, but nothing is kept or shared. Free the disk, raise store.quota or run "shoal prune".',
  },
  'mirror-missing': {
    reason: 'ShoalMirrorNotConfigured',
    message:
      'The container runtime of this node does not ask Shoal: images are pulled straight from their registries. The log of the container "mirror" of the node\'s agent says what to add to the runtime\'s configuration.',
  },
  'upstream-denies': {
    reason: 'ShoalUpstreamDenies',
    message:
      "A registry has forbidden pulls (403), or limits how many there may be (429), in the last ten minutes. The agent's log says which; pull secrets or the registry's limits are to be looked at.",
  },
};

const EVENTS: ReadonlyMap<string, TroubleEvent> = new Map(Object.entries(TROUBLES));

/** Undefined for a trouble that only a later version knows. */
export function eventOfTrouble(trouble: string): TroubleEvent | undefined {
  return EVENTS.get(trouble);
}
