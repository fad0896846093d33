import type { Counter, Histogram, Metrics } from '#service/metrics.ts';
import { registryLabel, SECONDS_BUCKETS } from '#service/metrics.ts';

/** Where bytes that a runtime got came from. */
export type Source = 'cache' | 'peer' | 'origin' | 'upstream';

export interface AgentMetrics {
  readonly bytes: Counter<'source' | 'registry'>;
  readonly pulls: Counter<'kind' | 'outcome'>;
  readonly pullSeconds: Histogram<'kind'>;
  readonly firstByteSeconds: Histogram<'kind'>;
  readonly fallbacks: Counter<'reason'>;
  readonly verdicts: Counter<'outcome'>;
  readonly proofs: Counter<'outcome'>;
  readonly staleTags: Counter;
  readonly originFailures: Counter;
  readonly shed: Counter;
  readonly doorTokens: Counter<'kind'>;
  readonly leftToDirectPulls: Counter;
  readonly upstreamRequests: Counter<'purpose' | 'status'>;
  readonly registryLabel: (registry: string) => string;
}

export function createAgentMetrics(metrics: Metrics): AgentMetrics {
  const made: AgentMetrics = {
    bytes: metrics.counter('runtime_bytes_total', 'Body bytes sent to runtimes, by where they came from', [
      'source',
      'registry',
    ]),
    pulls: metrics.counter('pulls_total', 'Answers to GETs of manifests and blobs', ['kind', 'outcome']),
    pullSeconds: metrics.histogram(
      'pull_duration_seconds',
      'Time from a GET to its last byte',
      SECONDS_BUCKETS,
      ['kind'],
    ),
    firstByteSeconds: metrics.histogram(
      'pull_ttfb_seconds',
      'Time from a GET to its first body byte',
      SECONDS_BUCKETS,
      ['kind'],
    ),
    fallbacks: metrics.counter('fallbacks_total', 'Ranges read from upstream by this agent itself', [
      'reason',
    ]),
    verdicts: metrics.counter('verdicts_total', 'Answers to whether a caller may read a repository', [
      'outcome',
    ]),
    proofs: metrics.counter('provenance_proofs_total', 'Random ranges compared with a registry', ['outcome']),
    staleTags: metrics.counter(
      'stale_tags_total',
      'Tags answered from memory while registry and origins were down',
    ),
    originFailures: metrics.counter(
      'origin_failures_total',
      'Requests to an origin that had no usable answer',
    ),
    shed: metrics.counter(
      'door_shed_total',
      'Requests refused because too many were running or came at once',
    ),
    doorTokens: metrics.counter(
      'door_tokens_total',
      'Tokens given to clients that take challenges from /v2/ alone; withheld: their credential is not for that registry',
      ['kind'],
    ),
    leftToDirectPulls: metrics.counter(
      'private_direct_total',
      'Requests of clients that gave no credential for a private image: CRI-O gives mirrors none and asks the registry itself',
    ),
    upstreamRequests: metrics.counter('upstream_requests_total', 'Requests sent to registries', [
      'purpose',
      'status',
    ]),
    registryLabel: registryLabel(),
  };
  beginSeries(made);
  return made;
}

/** What alerts watch is there from the start: an increase is not seen in a series that begins with its first event. */
function beginSeries({ pulls, verdicts, fallbacks }: AgentMetrics): void {
  for (const kind of ['manifest', 'blob'])
    for (const outcome of ['cut', 'unavailable']) pulls.inc({ kind, outcome }, 0);
  for (const outcome of ['refused', 'stale', 'unreachable']) verdicts.inc({ outcome }, 0);
  for (const reason of ['no-origin', 'no-swarm', 'stalled']) fallbacks.inc({ reason }, 0);
}

/** What runs at the door. */
export function observeDoor(metrics: Metrics, running: () => { requests: number; pulls: number }): void {
  metrics.gauge('door_running', 'What runs at the door now', ['kind'], (gauge) => {
    gauge.set({ kind: 'requests' }, running().requests);
    gauge.set({ kind: 'torrents' }, running().pulls);
  });
}
