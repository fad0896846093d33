import type { Counter, Histogram, Metrics } from '#service/metrics.ts';
import { registryLabel, SECONDS_BUCKETS } from '#service/metrics.ts';

/** What came of a read of a blob. `left`: nobody waited any more; `refused`: no caller's credential was good any more. */
export type ReadOutcome = 'complete' | 'left' | 'refused' | 'unreachable' | 'wrong' | 'stopped' | 'failed';

export interface OriginMetrics {
  readonly upstreamRequests: Counter<'purpose' | 'status'>;
  readonly upstreamBytes: Counter<'registry'>;
  readonly reads: Counter<'outcome'>;
  readonly readSeconds: Histogram;
  readonly takeOvers: Counter;
  readonly batches: Counter<'scope'>;
  readonly tags: Counter<'outcome'>;
  readonly proofs: Counter<'outcome'>;
  readonly answers: Counter<'kind'>;
  readonly openedAhead: Counter<'outcome'>;
  readonly forwards: Counter<'outcome'>;
  readonly registryLabel: (registry: string) => string;
}

export function createOriginMetrics(metrics: Metrics): OriginMetrics {
  return {
    upstreamRequests: metrics.counter('upstream_requests_total', 'Requests sent to registries', [
      'purpose',
      'status',
    ]),
    upstreamBytes: metrics.counter('upstream_bytes_total', 'Body bytes of content read from registries', [
      'registry',
    ]),
    reads: metrics.counter('reads_total', 'Reads of blobs from registries, by how they ended', ['outcome']),
    readSeconds: metrics.histogram(
      'read_duration_seconds',
      'Time from a read to its verified whole',
      SECONDS_BUCKETS,
    ),
    takeOvers: metrics.counter('take_overs_total', 'Reads begun in the place of an origin that was lost'),
    batches: metrics.counter('hash_batches_signed_total', 'Batches of piece hashes signed', ['scope']),
    tags: metrics.counter('tags_total', 'Tags resolved, by how', ['outcome']),
    proofs: metrics.counter('provenance_proofs_total', 'Random ranges compared with a registry', ['outcome']),
    answers: metrics.counter('answers_total', 'Manifests and blobs answered for, by how', ['kind']),
    openedAhead: metrics.counter(
      'opened_ahead_total',
      'First pieces of layers asked for before anybody wanted them',
      ['outcome'],
    ),
    forwards: metrics.counter('forwards_total', 'Requests handed to another origin', ['outcome']),
    registryLabel: registryLabel(),
  };
}

export function observeReadings(metrics: Metrics, readings: { readonly size: number }): void {
  metrics.gauge('reads_running', 'Blobs being read from registries', [], (gauge) => gauge.set(readings.size));
}
