import type { FastifyInstance, FastifyReply } from 'fastify';

import { normaliseAddress } from './address.ts';
import { AnnounceQueryError, parseAnnounceQuery, parseScrapeQuery } from './announce-query.ts';
import { encodeAnnounceAnswer, encodeFailure, encodeScrapeAnswer } from './bencode-answers.ts';
import { MAX_SCRAPE } from './constants.ts';
import type { TrackerMetrics } from './metrics.ts';
import { AnnounceRefusedError } from './stranger-store.ts';
import type { ScrapeEntry, StrangerAnswer, StrangerStore } from './stranger-store.ts';

export interface StrangerRoutesParts {
  readonly strangers: StrangerStore;
  readonly metrics: TrackerMetrics;
}

/**
 * `GET /announce` (BEP 3, 7, 23) and `GET /scrape` (BEP 48) for stock clients, on a listener of their own.
 * Every refusal is status 200 and a bencoded failure reason, the only error that clients of BEP 3 show.
 */
export function registerStrangerRoutes(
  app: FastifyInstance,
  { strangers, metrics }: StrangerRoutesParts,
  options: { announceIntervalMs: number },
): void {
  app.get('/announce', (request, reply) =>
    answer(reply, metrics, () => {
      const query = parseAnnounceQuery(queryOf(request.raw.url));
      metrics.announces.inc({ kind: 'stranger-http' });
      const found = strangers.announce(query, normaliseAddress(request.socket.remoteAddress ?? ''));
      countHanded(metrics, found);
      return encodeAnnounceAnswer(found, { ...query, intervalMs: options.announceIntervalMs });
    }),
  );
  app.get('/scrape', (request, reply) =>
    answer(reply, metrics, () => {
      const entries = new Map<string, ScrapeEntry>();
      for (const infoHash of parseScrapeQuery(queryOf(request.raw.url), MAX_SCRAPE)) {
        const entry = strangers.scrape(infoHash);
        if (entry !== undefined) entries.set(infoHash, entry);
      }
      return encodeScrapeAnswer(entries);
    }),
  );
}

/** Strangers are told of peers of either kind alike, so they are counted together. */
export function countHanded(metrics: TrackerMetrics, { peers }: StrangerAnswer): void {
  metrics.peersHanded.inc({ role: 'to-stranger' }, peers.length);
}

function answer(reply: FastifyReply, metrics: TrackerMetrics, make: () => Buffer): FastifyReply {
  void reply.type('text/plain');
  try {
    return reply.send(make());
  } catch (error) {
    if (error instanceof AnnounceRefusedError) metrics.refused.inc({ reason: 'stranger' });
    else if (error instanceof AnnounceQueryError) metrics.refused.inc({ reason: 'malformed' });
    else throw error;
    return reply.send(encodeFailure(error.message));
  }
}

function queryOf(url: string | undefined): string {
  const at = url?.indexOf('?') ?? -1;
  return at === -1 ? '' : url!.slice(at + 1);
}
