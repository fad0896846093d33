import type { FastifyInstance } from 'fastify';

import { OciError } from '#registry/oci-error.ts';
import type { RequestRate } from '#service/request-rate.ts';
import {
  AnnounceRequest,
  LeaseRequest,
  MAX_PEERS_PER_MESSAGE,
  MAX_REQUEST_BYTES,
  MAX_SWARMS_PER_MESSAGE,
  ReplicasRequest,
} from '#swarm/announce/messages.ts';
import type { AnnounceAnswer, LeaseAnswer, ReplicasAnswer, Self } from '#swarm/announce/messages.ts';
import { placeOf } from '#swarm/core/handout.ts';
import type { Place, Topology } from '#swarm/core/handout.ts';
import { isIP } from 'node:net';

import { normaliseAddress } from './address.ts';
import { ANNOUNCES_PER_SECOND, MAX_NEWS } from './constants.ts';
import type { LeaseBook } from './lease-book.ts';
import { MembersFullError } from './member-store.ts';
import type { MemberStore, Session } from './member-store.ts';
import type { AnnounceKind, TrackerMetrics } from './metrics.ts';
import type { ShoalMember } from './swarm-table.ts';

export interface ShoalRoutesParts {
  readonly members: MemberStore;
  readonly leases: LeaseBook;
  readonly metrics: TrackerMetrics;
  /** Of one member's announces. */
  readonly rate: Pick<RequestRate, 'admits'>;
  /** Where a node is, for members that do not tell it themselves; Kubernetes' labels say so. */
  readonly topologyOf?: (node: string) => Topology;
  /** The node that has this address itself; pods have others. */
  readonly nodeAt?: (address: string) => string | undefined;
  /** Takes what a member has trouble with, to be told to whoever runs the cluster: a `Trouble`, or one of a later version. */
  readonly onTrouble?: (node: string, trouble: string) => void;
}

export interface ShoalRoutesOptions {
  readonly announceIntervalMs: number;
  readonly maxPeersPerAnswer: number;
  /** Whether stock clients are told of and to Shoal peers. */
  readonly strangers: boolean;
}

/** Routes for agents and origins. Who may call them is the listener's to prove (TLS-PSK). */
export function registerShoalRoutes(
  app: FastifyInstance,
  parts: ShoalRoutesParts,
  options: ShoalRoutesOptions,
): void {
  const announces = new Announces(parts, options);
  const bodyLimit = MAX_REQUEST_BYTES;
  app.post<{ Body: AnnounceRequest }>(
    '/v1/announce',
    { schema: { body: AnnounceRequest }, bodyLimit },
    (request) => announces.take(request.body, normaliseAddress(request.socket.remoteAddress ?? '')),
  );
  app.post<{ Body: LeaseRequest; Reply: LeaseAnswer }>(
    '/v1/leases',
    { schema: { body: LeaseRequest } },
    (request) => {
      const answer = parts.leases.take(request.body);
      parts.metrics.leases.inc({ outcome: answer.granted ? 'granted' : 'refused' });
      return answer;
    },
  );
  app.delete<{ Body: LeaseRequest }>('/v1/leases', { schema: { body: LeaseRequest } }, (request, reply) => {
    parts.leases.release(request.body);
    return reply.code(204).send();
  });
  app.post<{ Body: ReplicasRequest }>(
    '/v1/replicas',
    { schema: { body: ReplicasRequest }, bodyLimit },
    ({ body }): ReplicasAnswer => ({
      counts: body.swarms.map((id) => parts.members.replicas(id, body.peerId)),
    }),
  );
}

type SwarmAnswer = NonNullable<AnnounceAnswer['swarms']>[number];

/** Applies announces and answers them. */
class Announces {
  readonly #parts: ShoalRoutesParts;
  readonly #options: ShoalRoutesOptions;

  constructor(parts: ShoalRoutesParts, options: ShoalRoutesOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  take(request: AnnounceRequest, remoteAddress: string): AnnounceAnswer {
    const { members, metrics, rate } = this.#parts;
    if (!rate.admits(request.peerId)) {
      metrics.refused.inc({ reason: 'too many announces' });
      throw new OciError('UNAVAILABLE', `a member may announce ${ANNOUNCES_PER_SECOND} times a second`, {
        headers: { 'retry-after': '1' },
      });
    }
    const intervalMs = this.#options.announceIntervalMs;
    if (request.bye === true) {
      metrics.announces.inc({ kind: 'bye' });
      if (members.touch(request.peerId, request.session) !== undefined) {
        members.end(request.peerId);
        this.#parts.leases.releaseAll(request.peerId);
      }
      return { intervalMs };
    }
    const topology = request.self === undefined ? {} : this.#topologyOf(request.self, remoteAddress);
    const session = this.#place(request, topology, remoteAddress);
    metrics.announces.inc({ kind: kindOf(request, session) });
    if (session === undefined) return { intervalMs, resync: true };
    members.advance(request.peerId, request.sequence);
    this.#tellTroubles(session, request);
    const { zone, region } = topology;
    const place = { ...(zone !== undefined && { zone }), ...(region !== undefined && { region }) };
    return {
      intervalMs,
      ...(zone !== undefined && { place }),
      ...this.#apply(request),
      ...this.#handOut(request),
    };
  }

  /** The session that the message belongs to: a new one, or the one known if the message is its next or its last again. */
  #place(request: AnnounceRequest, topology: Topology, remoteAddress: string): Session | undefined {
    const { peerId, session, sequence, self } = request;
    if ((self !== undefined) !== (sequence === 0)) {
      throw new OciError('UNSUPPORTED', 'self goes with sequence 0, and only there', { status: 400 });
    }
    if (self !== undefined)
      return this.#start(describe(peerId, self, placeOf(topology), remoteAddress), session);
    const known = this.#parts.members.touch(peerId, session);
    const fits = known !== undefined && (sequence === known.sequence || sequence === known.sequence + 1);
    return fits ? known : undefined;
  }

  #tellTroubles({ member }: Session, { troubles = [] }: AnnounceRequest): void {
    const [node] = member.place;
    if (node === undefined) return;
    for (const trouble of troubles) this.#parts.onTrouble?.(node, trouble);
  }

  /**
   * What a member tells of its place counts before what is known of its node. Who calls from a node's own address is on that
   * node, whatever it says; from any other, a pod's for one, on the node that it names.
   */
  #topologyOf({ topology }: Self, remoteAddress: string): Topology {
    const node = this.#parts.nodeAt?.(remoteAddress) ?? topology.node;
    const known = node === undefined ? {} : this.#parts.topologyOf?.(node);
    return { ...known, ...topology, node };
  }

  #start(member: ShoalMember, session: string): Session {
    try {
      return this.#parts.members.start(member, session);
    } catch (error) {
      if (!(error instanceof MembersFullError)) throw error;
      this.#parts.metrics.refused.inc({ reason: 'too many members' });
      throw new OciError('TOOMANYREQUESTS', error.message, { status: 503, cause: error });
    }
  }

  /** Leaves first, so that they make room. */
  #apply({ peerId, join, update, leave, alias }: AnnounceRequest): Pick<AnnounceAnswer, 'refused'> {
    const { members, metrics } = this.#parts;
    for (const swarm of leave ?? []) members.leave(peerId, swarm);
    for (const { swarm, complete } of update ?? []) members.setComplete(peerId, swarm, complete);
    const refused: NonNullable<AnnounceAnswer['refused']> = [];
    for (const { swarm, complete, digest } of join ?? []) {
      const reason = members.join(peerId, swarm, { complete, digest });
      if (reason === undefined) continue;
      metrics.refused.inc({ reason });
      refused.push({ swarm, reason });
    }
    if (this.#options.strangers) for (const entry of alias ?? []) members.addAlias(peerId, entry);
    return refused.length > 0 ? { refused } : {};
  }

  #handOut({ peerId, join, more }: AnnounceRequest): Pick<AnnounceAnswer, 'swarms'> {
    const swarms: SwarmAnswer[] = [];
    let left = MAX_PEERS_PER_MESSAGE;
    for (const { swarm, want } of [...(join ?? []), ...(more ?? [])]) {
      if (want === 0) continue;
      const most = Math.min(want, Math.max(0, left), this.#options.maxPeersPerAnswer);
      const answer = this.#parts.members.handOut(peerId, swarm, most, this.#options.strangers);
      if (answer === undefined) continue;
      left -= answer.aliases.reduce((sum, alias) => sum + alias.peers.length, answer.peers.length);
      for (const { role } of answer.peers) this.#parts.metrics.peersHanded.inc({ role });
      swarms.push({ swarm, ...answer });
    }
    if (this.#options.strangers) swarms.push(...this.#news(peerId, swarms));
    return swarms.length > 0 ? { swarms } : {};
  }

  /** Info-hashes that the member has yet to hear of, beside the swarms that the answer is about anyway. */
  #news(peerId: string, answered: readonly SwarmAnswer[]): SwarmAnswer[] {
    const { members } = this.#parts;
    const told = new Set(answered.map(({ swarm }) => swarm));
    const news = members.news(peerId, Math.min(MAX_NEWS, MAX_SWARMS_PER_MESSAGE - answered.length));
    return news
      .filter((swarm) => !told.has(swarm))
      .flatMap((swarm) => {
        const answer = members.handOut(peerId, swarm, 0, true);
        return answer === undefined ? [] : [{ swarm, ...answer }];
      });
  }
}

function describe(id: string, { role, port, host }: Self, place: Place, remoteAddress: string): ShoalMember {
  const told = host ?? remoteAddress;
  return { id, role, place, host: told, ip: isIP(told) === 0 ? remoteAddress : told, port };
}

function kindOf(request: AnnounceRequest, session: Session | undefined): AnnounceKind {
  if (session === undefined) return 'resync';
  if (request.self !== undefined) return 'start';
  const { join, update, leave, more, alias } = request;
  return [join, update, leave, more, alias].some((list) => list !== undefined && list.length > 0)
    ? 'delta'
    : 'heartbeat';
}
