import type { Counter, Metrics } from '#service/metrics.ts';

import type { LeaseBook } from './lease-book.ts';
import type { MemberStore } from './member-store.ts';
import type { StrangerStore } from './stranger-store.ts';
import type { SwarmTable } from './swarm-table.ts';

/** `start`: a session begun anew; `delta`: something changed; `heartbeat`: nothing did; `resync`: could not be placed. */
export type AnnounceKind =
  | 'start'
  | 'delta'
  | 'heartbeat'
  | 'resync'
  | 'bye'
  | 'stranger-http'
  | 'stranger-udp';

export interface TrackerMetrics {
  readonly announces: Counter<'kind'>;
  readonly peersHanded: Counter<'role'>;
  readonly leases: Counter<'outcome'>;
  readonly expired: Counter<'kind'>;
  readonly refused: Counter<'reason'>;
}

/** Everything that the tracker knows, to be counted when `/metrics` is read. */
export interface Counted {
  readonly table: SwarmTable;
  readonly members: MemberStore;
  readonly strangers: StrangerStore;
  readonly leases: LeaseBook;
}

/** Registers the tracker's metrics. No label's values grow with what is tracked. */
export function trackerMetrics(metrics: Metrics, counted: Counted): TrackerMetrics {
  const gauge = (name: string, help: string, read: () => number): void => {
    metrics.gauge(name, help, [], (made) => made.set(read()));
  };
  gauge('swarms', 'Swarms with at least one member', () => counted.table.size);
  gauge('info_hashes', 'Info-hashes by which stock clients know blobs', () => counted.table.aliases);
  gauge('members', 'Agents and origins in session', () => counted.members.members);
  gauge('memberships', 'Seats of members in swarms', () => counted.members.memberships);
  gauge('strangers', 'Stock clients in swarms', () => counted.strangers.size);
  gauge('leases', 'Upstream-reader leases held', () => counted.leases.size);
  return {
    announces: metrics.counter('announces_total', 'Announces taken in, by kind', ['kind']),
    peersHanded: metrics.counter('peers_handed_total', 'Peers named to who announced, by their role', [
      'role',
    ]),
    leases: metrics.counter('lease_requests_total', 'Upstream-reader leases asked for, by outcome', [
      'outcome',
    ]),
    expired: metrics.counter('expired_total', 'Members, strangers and leases whose time was over', ['kind']),
    refused: metrics.counter('refused_total', 'Joins, sessions and strangers refused, by the bound reached', [
      'reason',
    ]),
  };
}
