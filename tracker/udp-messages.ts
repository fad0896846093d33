import type { ScrapeEntry, StrangerAnnounce, StrangerAnswer } from './stranger-store.ts';
import { compactPeers } from './bencode-answers.ts';

/** BEP 15's magic constant, in place of a connection id in a connect request. */
const PROTOCOL_ID = 0x41727101980n;
const CONNECT = 0;
const ANNOUNCE = 1;
const SCRAPE = 2;
const ERROR = 3;
const EVENTS = [undefined, 'completed', 'started', 'stopped'] as const;

const CONNECT_BYTES = 16;
const ANNOUNCE_BYTES = 98;
const SCRAPE_HEADER_BYTES = 16;
const HASH_BYTES = 20;

export type UdpRequest =
  | { readonly kind: 'connect'; readonly transaction: number }
  | {
      readonly kind: 'announce';
      readonly connectionId: bigint;
      readonly transaction: number;
      readonly announce: StrangerAnnounce;
    }
  | {
      readonly kind: 'scrape';
      readonly connectionId: bigint;
      readonly transaction: number;
      /** Hex. */
      readonly infoHashes: readonly string[];
    }
  /** Its sender may be told, once its connection id is seen to be right. */
  | {
      readonly kind: 'malformed';
      readonly connectionId: bigint;
      readonly transaction: number;
      readonly reason: string;
    };

/**
 * A datagram by BEP 15. Never throws.
 * @returns undefined for what cannot be answered, being too short or no connect request.
 */
export function decodeUdpRequest(datagram: Buffer, maxScrape: number): UdpRequest | undefined {
  if (datagram.length < CONNECT_BYTES) return undefined;
  const connectionId = datagram.readBigUInt64BE(0);
  const action = datagram.readUInt32BE(8);
  const transaction = datagram.readUInt32BE(12);
  if (action === CONNECT) return connectionId === PROTOCOL_ID ? { kind: 'connect', transaction } : undefined;
  const request = { connectionId, transaction };
  if (action === ANNOUNCE) return decodeAnnounce(datagram, request);
  if (action === SCRAPE) return decodeScrape(datagram, request, maxScrape);
  return { kind: 'malformed', ...request, reason: 'the action must be connect, announce or scrape' };
}

type Head = { readonly connectionId: bigint; readonly transaction: number };

/** Options behind the fixed fields (BEP 41) are not looked at, nor is the address in it: the sender's counts. */
function decodeAnnounce(datagram: Buffer, head: Head): UdpRequest {
  const malformed = (reason: string): UdpRequest => ({ kind: 'malformed', ...head, reason });
  if (datagram.length < ANNOUNCE_BYTES) return malformed(`an announce has at least ${ANNOUNCE_BYTES} bytes`);
  const event = datagram.readUInt32BE(80);
  if (event >= EVENTS.length) return malformed('the event must be 0 to 3');
  const want = datagram.readInt32BE(92);
  const port = datagram.readUInt16BE(96);
  if (port === 0) return malformed('the port must be 1 to 65535');
  const announce = {
    infoHash: datagram.toString('hex', 16, 36),
    peerId: datagram.toString('hex', 36, 56),
    left: datagram.readBigUInt64BE(64),
    event: EVENTS[event],
    want: want < 0 ? undefined : want,
    port,
  };
  return { kind: 'announce', ...head, announce };
}

function decodeScrape(datagram: Buffer, head: Head, max: number): UdpRequest {
  const hashes = (datagram.length - SCRAPE_HEADER_BYTES) / HASH_BYTES;
  if (!Number.isInteger(hashes) || hashes < 1 || hashes > max) {
    return {
      kind: 'malformed',
      ...head,
      reason: `a scrape has 1 to ${max} info-hashes of ${HASH_BYTES} bytes`,
    };
  }
  const infoHashes = Array.from({ length: hashes }, (_, at) => {
    const start = SCRAPE_HEADER_BYTES + at * HASH_BYTES;
    return datagram.toString('hex', start, start + HASH_BYTES);
  });
  return { kind: 'scrape', ...head, infoHashes };
}

export function encodeConnectAnswer(transaction: number, connectionId: bigint): Buffer {
  const answer = Buffer.alloc(16);
  answer.writeUInt32BE(CONNECT, 0);
  answer.writeUInt32BE(transaction, 4);
  answer.writeBigUInt64BE(connectionId, 8);
  return answer;
}

/** Peers of the family that the datagram travels by, as BEP 15 has it. */
export function encodeUdpAnnounce(
  transaction: number,
  answer: StrangerAnswer,
  options: { intervalMs: number; family: 4 | 6 },
): Buffer {
  const head = Buffer.alloc(20);
  head.writeUInt32BE(ANNOUNCE, 0);
  head.writeUInt32BE(transaction, 4);
  head.writeUInt32BE(Math.max(1, Math.round(options.intervalMs / 1000)), 8);
  head.writeUInt32BE(answer.incomplete, 12);
  head.writeUInt32BE(answer.complete, 16);
  const { peers, peers6 } = compactPeers(answer.peers);
  return Buffer.concat([head, options.family === 4 ? peers : (peers6 ?? Buffer.alloc(0))]);
}

/** One triple for each info-hash in the order asked; zeros for one that is not served. */
export function encodeUdpScrape(transaction: number, entries: readonly (ScrapeEntry | undefined)[]): Buffer {
  const answer = Buffer.alloc(8 + entries.length * 12);
  answer.writeUInt32BE(SCRAPE, 0);
  answer.writeUInt32BE(transaction, 4);
  for (const [at, entry] of entries.entries()) {
    answer.writeUInt32BE(entry?.complete ?? 0, 8 + at * 12);
    answer.writeUInt32BE(entry?.downloaded ?? 0, 12 + at * 12);
    answer.writeUInt32BE(entry?.incomplete ?? 0, 16 + at * 12);
  }
  return answer;
}

export function encodeUdpError(transaction: number, reason: string): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(ERROR, 0);
  head.writeUInt32BE(transaction, 4);
  return Buffer.concat([head, Buffer.from(reason)]);
}
