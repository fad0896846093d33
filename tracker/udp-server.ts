import { createSocket } from 'node:dgram';
import type { RemoteInfo, Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';

import type { Logger } from '#service/logger.ts';

import { normaliseAddress } from './address.ts';
import { ConnectionIds } from './connection-ids.ts';
import { MAX_SCRAPE, UDP_IPV6_PEERS } from './constants.ts';
import type { TrackerMetrics } from './metrics.ts';
import { countHanded } from './stranger-routes.ts';
import { AnnounceRefusedError } from './stranger-store.ts';
import type { StrangerAnnounce, StrangerStore } from './stranger-store.ts';
import {
  decodeUdpRequest,
  encodeConnectAnswer,
  encodeUdpAnnounce,
  encodeUdpError,
  encodeUdpScrape,
} from './udp-messages.ts';
import type { UdpRequest } from './udp-messages.ts';

/** Bytes that the kernel has yet to send before answers are dropped; datagrams may get lost anyway. */
const MAX_QUEUED_BYTES = 4 * 1024 * 1024;

export interface UdpTrackerParts {
  readonly strangers: StrangerStore;
  readonly metrics: TrackerMetrics;
  readonly logger: Logger;
  readonly now: () => number;
}

/** A UDP tracker (BEP 15). Nothing in the protocol proves who asks, so it runs only where security is off. */
export class UdpTracker implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #parts: UdpTrackerParts;
  readonly #options: { readonly announceIntervalMs: number };
  readonly #connections: ConnectionIds;

  private constructor(socket: Socket, parts: UdpTrackerParts, options: { announceIntervalMs: number }) {
    this.#socket = socket;
    this.#parts = parts;
    this.#options = options;
    this.#connections = new ConnectionIds(parts);
    socket.on('message', (datagram, from) => this.#onDatagram(datagram, from));
    socket.on('error', (error) => parts.logger.warn({ err: error }, 'udp tracker: socket error'));
  }

  /** @throws Error that names the address when it cannot be had. */
  static async listen(
    parts: UdpTrackerParts,
    options: { host: string; port: number; announceIntervalMs: number },
  ): Promise<UdpTracker> {
    const socket = createSocket({ type: isIPv6(options.host) ? 'udp6' : 'udp4' });
    try {
      socket.bind(options.port, options.host);
      await once(socket, 'listening');
    } catch (error) {
      socket.close();
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`cannot listen at ${options.host} port ${options.port} by UDP: ${reason}`, {
        cause: error,
      });
    }
    return new UdpTracker(socket, parts, options);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#socket, 'close');
    this.#socket.close();
    await closed;
  }

  #onDatagram(datagram: Buffer, from: RemoteInfo): void {
    const request = decodeUdpRequest(datagram, MAX_SCRAPE);
    if (request === undefined) return;
    const answer = this.#answer(request, normaliseAddress(from.address));
    if (answer === undefined || this.#socket.getSendQueueSize() > MAX_QUEUED_BYTES) return;
    this.#socket.send(answer, from.port, from.address, (error) => {
      if (error) this.#parts.logger.debug({ err: error }, 'udp tracker: answer not sent');
    });
  }

  /** Nothing is said to who does not hold a valid connection id: its address may be forged. */
  #answer(request: UdpRequest, ip: string): Buffer | undefined {
    if (request.kind === 'connect')
      return encodeConnectAnswer(request.transaction, this.#connections.issue(ip));
    if (!this.#connections.isValid(ip, request.connectionId)) return undefined;
    const { transaction } = request;
    if (request.kind === 'malformed') return this.#refuse(transaction, 'malformed', request.reason);
    if (request.kind === 'announce') return this.#announce(transaction, request.announce, ip);
    const entries = request.infoHashes.map((infoHash) => this.#parts.strangers.scrape(infoHash));
    return encodeUdpScrape(transaction, entries);
  }

  #announce(transaction: number, announce: StrangerAnnounce, ip: string): Buffer {
    const family = isIPv6(ip) ? 6 : 4;
    const { strangers, metrics } = this.#parts;
    metrics.announces.inc({ kind: 'stranger-udp' });
    const want = family === 6 ? Math.min(announce.want ?? UDP_IPV6_PEERS, UDP_IPV6_PEERS) : announce.want;
    try {
      const answer = strangers.announce({ ...announce, want }, ip);
      countHanded(metrics, answer);
      return encodeUdpAnnounce(transaction, answer, { intervalMs: this.#options.announceIntervalMs, family });
    } catch (error) {
      if (!(error instanceof AnnounceRefusedError)) throw error;
      return this.#refuse(transaction, 'stranger', error.message);
    }
  }

  #refuse(transaction: number, reason: string, message: string): Buffer {
    this.#parts.metrics.refused.inc({ reason });
    return encodeUdpError(transaction, message);
  }
}
