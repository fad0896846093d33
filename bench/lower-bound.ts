/** A host's link. */
export interface Link {
  readonly upMbit: number;
  readonly downMbit: number;
}

/**
 * The least time to bring `bytes` from a source to all peers: max{ F/u_s, F/d_min, N·F/(u_s + Σu_i) }
 * (u: upload, d: download, s: the source; the fluid limit of peer-to-peer distribution).
 * @returns seconds
 */
export function lowerBound(bytes: number, source: Link, peers: readonly Link[]): number {
  const slowest = Math.min(...peers.map(({ downMbit }) => downMbit));
  const uploads = peers.reduce((sum, { upMbit }) => sum + upMbit, source.upMbit);
  return Math.max(
    secondsFor(bytes, source.upMbit),
    secondsFor(bytes, slowest),
    secondsFor(bytes * peers.length, uploads),
  );
}

/** @returns seconds that so many bytes take, headers not counted */
export function secondsFor(bytes: number, mbit: number): number {
  return (bytes * 8) / (mbit * 1e6);
}
