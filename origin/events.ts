import type { Digest } from '#registry/digest.ts';
import { describeError } from '#registry/redact.ts';
import { startupGrace } from '#registry/retry.ts';
import type { Logger } from '#service/logger.ts';
import { type Caller, fullName } from './caller.ts';
import type { OriginMetrics, ReadOutcome } from './metrics.ts';

export interface ReadRecord {
  readonly digest: Digest;
  readonly registry: string;
  readonly size: number;
  /** Bytes that came from upstream in this read. */
  readonly bytes: number;
  readonly outcome: ReadOutcome;
  readonly seconds: number;
  readonly error?: Error | undefined;
}

/** Everything of note that happens in an origin: each its log line and its metrics, none with a credential. */
export class OriginEvents {
  readonly #logger: Logger;
  readonly #metrics: OriginMetrics;
  readonly #absence: (error: unknown) => 'info' | 'warn';

  /** @param now milliseconds, monotonic */
  constructor(logger: Logger, metrics: OriginMetrics, now: () => number) {
    this.#absence = startupGrace(now);
    this.#logger = logger;
    this.#metrics = metrics;
  }

  /** One line for each read of a blob. */
  read({ seconds, error, ...record }: ReadRecord): void {
    const { outcome } = record;
    this.#metrics.reads.inc({ outcome });
    if (outcome === 'complete') this.#metrics.readSeconds.observe(seconds);
    const reason = error === undefined ? {} : { reason: describeError(error) };
    const line = { ...record, ms: Math.round(seconds * 1000), ...reason };
    if (outcome === 'complete') this.#logger.info(line, 'blob read');
    else if (outcome === 'left' || outcome === 'stopped') this.#logger.info(line, 'read stopped');
    else this.#logger.warn(line, 'read ended before the blob was whole');
  }

  bytesRead(registry: string, bytes: number): void {
    this.#metrics.upstreamBytes.inc({ registry: this.#metrics.registryLabel(registry) }, bytes);
  }

  resumed(digest: Digest, offset: number, error: Error): void {
    this.#logger.info({ digest, offset, reason: describeError(error) }, 'upstream broke off: reading on');
  }

  tookOver(digest: Digest, held: number): void {
    this.#metrics.takeOvers.inc();
    this.#logger.info({ digest, pieces: held }, 'took a read over');
  }

  signed(scope: 'live' | 'verified'): void {
    this.#metrics.batches.inc({ scope });
  }

  answered(kind: 'bytes' | 'stored' | 'running' | 'opened' | 'swarm'): void {
    this.#metrics.answers.inc({ kind });
  }

  tookAhead(): void {
    this.#metrics.openedAhead.inc({ outcome: 'taken' });
  }

  /** Nobody came for these bytes. */
  gaveUpAhead(registry: string, bytes: number): void {
    this.#metrics.openedAhead.inc({ outcome: 'given-up' });
    this.bytesRead(registry, bytes);
  }

  forwarded(outcome: 'answered' | 'lost'): void {
    this.#metrics.forwards.inc({ outcome });
  }

  lost(member: string, error: unknown): void {
    this.#logger[this.#absence(error)](
      { origin: member, reason: describeError(error) },
      'another origin gave no usable answer',
    );
  }

  proved(caller: Caller, digest: Digest, outcome: 'proved' | 'refuted', reason?: string): void {
    this.#metrics.proofs.inc({ outcome });
    if (outcome === 'proved') return;
    this.#logger.warn(
      { repository: fullName(caller), digest, reason },
      'a registry claims content of which it does not have the bytes: it gets none of ours',
    );
  }

  tag(outcome: 'cached' | 'revalidated' | 'resolved' | 'moved' | 'stale', caller: Caller, tag: string): void {
    this.#metrics.tags.inc({ outcome });
    if (outcome === 'stale')
      this.#logger.warn({ repository: fullName(caller), tag }, 'tag answered from memory: upstream is down');
  }

  /** Content is served all the same. */
  notKept(digest: Digest, error: unknown): void {
    this.#logger.warn({ digest, reason: describeError(error) }, 'content could not be stored');
  }

  failed(what: string, error: unknown): void {
    this.#logger.warn({ reason: describeError(error) }, what);
  }
}
