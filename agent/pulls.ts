import type { Dispatcher } from 'undici';
import type { MemberList } from '#service/discovery/member-list.ts';
import type { RunningSwarm } from '#swarm/session/start.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';
import type { AgentEvents } from './events.ts';
import { LimitedUpstream } from './limited-upstream.ts';
import { OriginClient } from './origin-client.ts';
import { BlobAccess } from './pull/blob-access.ts';
import { BlobSources } from './pull/blob-sources.ts';
import { Fallback, UNSHARED } from './pull/fallback.ts';
import { ManifestAccess } from './pull/manifest-access.ts';
import { RunningPulls } from './pull/running-pulls.ts';
import { SmallContent } from './pull/small-content.ts';
import { KnownFacts } from './rights/known-facts.ts';
import { Verdicts } from './rights/verdicts.ts';
import type { Caller, Upstream } from './upstream.ts';

export interface PullsParts {
  readonly store: Pick<BlobStore, 'stat' | 'open' | 'put' | 'addFacts'>;
  readonly swarm: Pick<RunningSwarm, 'engine' | 'announcer'>;
  readonly upstream: Upstream;
  readonly events: AgentEvents;
  /** Connections to origins. */
  readonly dispatcher: Dispatcher;
  readonly signal: AbortSignal;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** From 0 up to, and without, 1. */
  readonly random: () => number;
  /** A random whole number from 0 up to, and without, `below`, that nobody can foresee. */
  readonly randomInt: (below: number) => number;
}

export interface PullsOptions {
  readonly origins: MemberList;
  /** As configured: whether there are any. */
  readonly trackers: readonly string[];
  readonly scheme: 'http' | 'https';
  readonly rights: {
    readonly verdictLifetimeMs: number;
    readonly staleAuthMs: number;
    readonly maxVerdicts: number;
  };
  readonly fallback: { readonly stallMs: number; readonly upstreamWaitMs: number };
}

/** Everything between the door and the parts that hold content. */
export interface Pulls extends Disposable {
  readonly blobs: BlobAccess;
  readonly manifests: ManifestAccess;
  readonly running: RunningPulls;
  readonly origins: Pick<OriginClient, 'isReachable' | 'fetch'>;
  readonly verdicts: Pick<Verdicts, 'allow'>;
}

/** Puts together what answers pulls: rights, origins, swarm and fallback. */
export function createPulls(parts: PullsParts, options: PullsOptions): Pulls {
  const { store, events, dispatcher, signal, now, random, randomInt } = parts;
  const { engine: swarm, announcer } = parts.swarm;
  const upstream = new LimitedUpstream(parts.upstream, swarm);
  const known = new KnownFacts(store);
  const origins = new OriginClient(
    {
      dispatcher,
      limit: swarm,
      now,
      random,
      onFailure: (origin, error) => events.originFailed(origin, error),
    },
    options,
  );
  const verdicts = new Verdicts(
    {
      upstream,
      anonymous: (registry, repository, asking) => origins.anonymous(registry, repository, asking),
      now,
      onVerdict: (verdict) => events.judged(verdict),
    },
    options.rights,
  );
  const onRefused = (caller: Caller): void => verdicts.revoke(caller);
  const leases = options.trackers.length > 0 ? announcer : UNSHARED;
  const fallback = new Fallback({ upstream, leases, now, random, events, onRefused }, options.fallback);
  const running = new RunningPulls(
    { origins, fallback, limit: swarm, now, random, onRefused },
    options.fallback,
  );
  const small = new SmallContent({ known, swarm, upstream, events });
  const sources = new BlobSources({ upstream, swarm, running, known, randomInt, events, signal });
  return {
    blobs: new BlobAccess({ verdicts, known, store, origins, sources, small }),
    manifests: new ManifestAccess({
      verdicts,
      known,
      store,
      origins,
      upstream,
      swarm,
      small,
      now,
      events,
      life: signal,
    }),
    running,
    origins,
    verdicts,
    [Symbol.dispose]: () => running[Symbol.dispose](),
  };
}
