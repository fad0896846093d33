import { startupGrace } from '#registry/retry.ts';
import { isSelfTest } from '#registry/self-test.ts';
import type { Logger } from '#service/logger.ts';
import type { AgentMetrics, Source } from './metrics.ts';
import type { Verdict } from './rights/verdicts.ts';
import type { Proof } from './rights/provenance.ts';
import type { Caller } from './upstream.ts';

/** What a pull came to. `gone`: the client left, as containerd does by design when it fetches in parallel. */
export type PullOutcome = 'complete' | 'refused' | 'unavailable' | 'cut' | 'gone';

export interface PullRecord {
  readonly kind: 'manifest' | 'blob';
  readonly caller: Caller;
  readonly reference: string;
  readonly outcome: PullOutcome;
  readonly status: number;
  readonly sources: Readonly<Record<Source, number>>;
  readonly seconds: number;
  readonly firstByteSeconds?: number | undefined;
  readonly error?: Error | undefined;
}

export type FallbackReason = 'no-origin' | 'stalled';

/** Everything of note that happens in an agent: each its log line and its metrics, none with a credential. */
export class AgentEvents {
  readonly #logger: Logger;
  readonly #metrics: AgentMetrics;
  readonly #absence: (error: unknown) => 'info' | 'warn';
  #denials = 0;

  /** @param now milliseconds, monotonic */
  constructor(logger: Logger, metrics: AgentMetrics, now: () => number) {
    this.#absence = startupGrace(now);
    this.#logger = logger;
    this.#metrics = metrics;
  }

  /** One line for each pull that a runtime made. */
  pulled(pull: PullRecord): void {
    const { kind, caller, reference, outcome, status, sources, seconds, firstByteSeconds, error } = pull;
    const registry = this.#metrics.registryLabel(caller.registry);
    for (const source of ['cache', 'peer', 'origin', 'upstream'] as const)
      if (sources[source] > 0) this.#metrics.bytes.inc({ source, registry }, sources[source]);
    this.#metrics.pulls.inc({ kind, outcome });
    if (outcome === 'complete') this.#metrics.pullSeconds.observe({ kind }, seconds);
    if (firstByteSeconds !== undefined) this.#metrics.firstByteSeconds.observe({ kind }, firstByteSeconds);
    const line = {
      kind,
      registry: caller.registry,
      repository: caller.repository,
      [reference.includes(':') ? 'digest' : 'tag']: reference,
      outcome,
      status,
      bytes: sources,
      ms: Math.round(seconds * 1000),
      ...(error !== undefined && { reason: reasonOf(error) }),
    };
    if (outcome === 'gone') this.#logger.debug(line, 'pull left by its client');
    // It is tried again, and what becomes of it is told when it is over.
    else if (isSelfTest(caller) && outcome !== 'complete')
      this.#logger.debug(line, 'pull of the self-test failed');
    else if (outcome === 'cut' || outcome === 'unavailable') this.#logger.warn(line, 'pull failed');
    else this.#logger.info(line, 'pull');
  }

  /** How often a registry has forbidden a pull, or limited how many there may be. A 401 is everyday: it asks who is there. */
  get denials(): number {
    return this.#denials;
  }

  judged(verdict: Verdict): void {
    const isForbidden = verdict.outcome === 'refused' && verdict.refusal.status === 403;
    if (isForbidden || verdict.outcome === 'throttled') this.#denials += 1;
    const outcome = verdict.outcome === 'positive' ? verdict.by : verdict.outcome;
    this.#metrics.verdicts.inc({ outcome: outcome === 'upstream' ? 'positive' : outcome });
  }

  proved(caller: Caller, digest: string, proof: Proof): void {
    this.#metrics.proofs.inc({ outcome: proof.kind });
    if (proof.kind !== 'refuted') return;
    const { registry, repository } = caller;
    this.#logger.warn(
      { registry, repository, digest, reason: proof.reason },
      'a registry claims content of which it does not have the bytes: it gets none of ours',
    );
  }

  fellBack(reason: FallbackReason, digest: string, bytes: number): void {
    this.#metrics.fallbacks.inc({ reason });
    this.#logger.info({ digest, reason, bytes }, 'range read from upstream');
  }

  fallbackFailed(digest: string, error: Error): void {
    this.#logger.warn({ digest, reason: reasonOf(error) }, 'reading from upstream failed');
  }

  originFailed(origin: string, error: Error): void {
    this.#metrics.originFailures.inc();
    this.#logger[this.#absence(error)]({ origin, reason: reasonOf(error) }, 'origin without a usable answer');
  }

  servedStaleTag(caller: Caller, tag: string): void {
    this.#metrics.staleTags.inc();
    const { registry, repository } = caller;
    this.#logger.warn(
      { registry, repository, tag },
      'tag answered from memory: registry and origins are down',
    );
  }

  swarmRefused(digest: string, error: Error): void {
    this.#metrics.fallbacks.inc({ reason: 'no-swarm' });
    this.#logger.warn({ digest, reason: reasonOf(error) }, 'no torrent for a blob: read from upstream alone');
  }

  /** Content is served all the same. */
  notKept(digest: string, error: Error): void {
    this.#logger.warn({ digest, reason: reasonOf(error) }, 'content could not be stored');
  }

  /** `withheld`: the credential is not for the registry that was named, so the token stands for none. */
  tokenIssued(kind: 'anonymous' | 'login' | 'withheld'): void {
    this.#metrics.doorTokens.inc({ kind });
  }

  /** A private image, and the client has given the door no credential for it. */
  leftToDirectPull(): void {
    this.#metrics.leftToDirectPulls.inc();
  }

  shed(): void {
    this.#metrics.shed.inc();
    this.#logger.debug('request shed');
  }
}

/** The message and, where there is one, the cause's: both are made by Shoal's own parts, which keep credentials out. */
function reasonOf(error: Error): string {
  const { cause } = error;
  return cause instanceof Error ? `${error.message} (${cause.message})` : error.message;
}
