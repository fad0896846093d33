import type { Metrics } from '#service/metrics.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';
import type { Engine } from '#swarm/session/engine.ts';
import type { TorrentCounters } from '#swarm/session/torrent.ts';
import type { Whereabouts } from '#swarm/session/whereabouts.ts';

/** How full the store is. */
export function observeStore(metrics: Metrics, store: Pick<BlobStore, 'usage'>): void {
  const kinds = ['kind'] as const;
  metrics.gauge('store_bytes', 'Bytes of blobs on disk', kinds, (gauge) => {
    const { bytes, partialBytes, quotaBytes } = store.usage();
    gauge.set({ kind: 'complete' }, bytes);
    gauge.set({ kind: 'partial' }, partialBytes);
    gauge.set({ kind: 'quota' }, quotaBytes);
  });
  metrics.gauge('store_blobs', 'Complete blobs on disk', [], (gauge) => gauge.set(store.usage().blobs));
  metrics.gauge('store_evictions', 'Blobs evicted to make room since the start', [], (gauge) =>
    gauge.set(store.usage().evictions),
  );
}

/** What goes on in the swarm. */
export function observeSwarm(metrics: Metrics, engine: Pick<Engine, 'status'>): void {
  metrics.gauge('swarm_torrents', 'Torrents by state', ['state'], (gauge) => {
    const { torrents, downloading, seeded } = engine.status;
    gauge.set({ state: 'open' }, torrents);
    gauge.set({ state: 'downloading' }, downloading);
    gauge.set({ state: 'seeded' }, seeded);
  });
  metrics.gauge('swarm_peers', 'Connections to peers', [], (gauge) => gauge.set(engine.status.connections));
}

/** What torrents count. */
export function countTorrents(metrics: Metrics, whereabouts: Whereabouts): TorrentCounters {
  const verified = metrics.counter('pieces_verified_bytes_total', 'Bytes of pieces that matched their hash', [
    'source',
  ]);
  const pieces = metrics.counter('pieces_total', 'Pieces by what their verification came to', ['outcome']);
  // There from the start: an increase is not seen in a series that begins with its first event.
  pieces.inc({ outcome: 'failed' }, 0);
  const sent = metrics.counter('swarm_sent_bytes_total', 'Bytes of pieces sent to peers', ['role']);
  const received = metrics.counter(
    'peer_received_bytes_total',
    'Bytes of pieces that came from peers, by whether they crossed zones',
    ['locality'],
  );
  received.inc({ locality: 'cross-zone' }, 0);
  return {
    verified: (source, bytes) => {
      verified.inc({ source }, bytes);
      pieces.inc({ outcome: 'verified' });
    },
    failed: () => pieces.inc({ outcome: 'failed' }),
    sent: (role, bytes) => sent.inc({ role }, bytes),
    received: (zone, bytes) => received.inc({ locality: whereabouts.localityOf(zone) }, bytes),
  };
}
