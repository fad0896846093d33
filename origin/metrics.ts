import type { Counter, Histogram, Metrics } from '#service/metrics.ts';
import { registryLabel, SECONDS_BUCKETS } from '#service/metrics.ts';
import type { Engine } from '#swarm/session/engine.ts';
import type { TorrentCounters } from '#swarm/session/torrent.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';

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
    forwards: metrics.counter('forwards_total', 'Requests handed to another origin', ['outcome']),
    registryLabel: registryLabel(),
  };
}

/** What is counted when `/metrics` is read. */
export interface Observed {
  readonly store: Pick<BlobStore, 'usage'>;
  readonly engine: Pick<Engine, 'status'>;
  readonly readings: { readonly size: number };
}

export function observe(metrics: Metrics, { store, engine, readings }: Observed): void {
  metrics.gauge('reads_running', 'Blobs being read from registries', [], (gauge) => gauge.set(readings.size));
  metrics.gauge('store_bytes', 'Bytes of blobs on disk', ['kind'], (gauge) => {
    const { bytes, partialBytes, quotaBytes } = store.usage();
    gauge.set({ kind: 'complete' }, bytes);
    gauge.set({ kind: 'partial' }, partialBytes);
    gauge.set({ kind: 'quota' }, quotaBytes);
  });
  metrics.gauge('store_blobs', 'Complete blobs on disk', [], (gauge) => gauge.set(store.usage().blobs));
  metrics.gauge('store_evictions', 'Blobs evicted to make room since the start', [], (gauge) =>
    gauge.set(store.usage().evictions),
  );
  metrics.gauge('swarm_torrents', 'Torrents by state', ['state'], (gauge) => {
    const { torrents, downloading, seeded } = engine.status;
    gauge.set({ state: 'open' }, torrents);
    gauge.set({ state: 'downloading' }, downloading);
    gauge.set({ state: 'seeded' }, seeded);
  });
  metrics.gauge('swarm_peers', 'Connections to peers', [], (gauge) => gauge.set(engine.status.connections));
}

/** What torrents count. */
export function countTorrents(metrics: Metrics): TorrentCounters {
  const verified = metrics.counter('pieces_verified_bytes_total', 'Bytes of pieces that matched their hash', [
    'source',
  ]);
  const pieces = metrics.counter('pieces_total', 'Pieces by what their verification came to', ['outcome']);
  const sent = metrics.counter('swarm_sent_bytes_total', 'Bytes of pieces sent to peers', ['role']);
  return {
    verified: (source, bytes) => {
      verified.inc({ source }, bytes);
      pieces.inc({ outcome: 'verified' });
    },
    failed: () => pieces.inc({ outcome: 'failed' }),
    sent: (role, bytes) => sent.inc({ role }, bytes),
  };
}
