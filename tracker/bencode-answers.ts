import { encodeBencode } from '#swarm/hashes/bencode.ts';

import { compactAddress } from './address.ts';
import type { ScrapeEntry, StrangerAnswer, StrangerPeer } from './stranger-store.ts';

export interface AnnounceFormat {
  readonly intervalMs: number;
  readonly compact: boolean;
  readonly noPeerId: boolean;
}

/** An announce's answer by BEP 3, with `peers` by BEP 23 and `peers6` by BEP 7 where compact. */
export function encodeAnnounceAnswer(answer: StrangerAnswer, format: AnnounceFormat): Buffer {
  const { complete, incomplete, peers } = answer;
  const interval = Math.max(1, Math.round(format.intervalMs / 1000));
  const list = format.compact
    ? compactPeers(peers)
    : { peers: peers.map((peer) => peerEntry(peer, format.noPeerId)) };
  return encodeBencode({
    complete,
    incomplete,
    interval,
    'min interval': Math.max(1, Math.floor(interval / 2)),
    ...list,
  });
}

/** BEP 48. The info-hashes are keys of a dictionary, so they go in the order of their bytes, which is that of their hex. */
export function encodeScrapeAnswer(entries: ReadonlyMap<string, ScrapeEntry>): Buffer {
  const files = [...entries.keys()]
    .sort()
    .flatMap((infoHash) => [
      Buffer.from('20:'),
      Buffer.from(infoHash, 'hex'),
      encodeBencode({ ...entries.get(infoHash)! }),
    ]);
  return Buffer.concat([Buffer.from('d5:filesd'), ...files, Buffer.from('ee')]);
}

/** BEP 3. `reason` is for people and must hold no secret. */
export function encodeFailure(reason: string): Buffer {
  return encodeBencode({ 'failure reason': reason });
}

/** Peers by address family, each `address port` in network byte order. */
export function compactPeers(peers: readonly StrangerPeer[]): { peers: Buffer; peers6?: Buffer } {
  const compact = peers
    .map(({ ip, port }) => compactAddress(ip, port))
    .filter((bytes) => bytes !== undefined);
  const ipv6 = compact.filter((bytes) => bytes.length === 18);
  return {
    peers: Buffer.concat(compact.filter((bytes) => bytes.length === 6)),
    ...(ipv6.length > 0 && { peers6: Buffer.concat(ipv6) }),
  };
}

function peerEntry(
  { id, host, port }: StrangerPeer,
  noPeerId: boolean,
): Record<string, number | string | Buffer> {
  return { ip: host, port, ...(!noPeerId && { 'peer id': Buffer.from(id, 'hex') }) };
}
