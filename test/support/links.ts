import type { Digest } from '#registry/digest.ts';
import { pieceCount, pieceLength, sizeOfPiece } from '#swarm/core/piece-length.ts';
import { chainOf } from '#swarm/hashes/digest-chain.ts';

const known = new WeakMap<Buffer, Map<Digest, readonly Buffer[]>>();

/** The links of a digest's chain before and after each piece of a blob, whether or not it is what the digest says. */
export function linksOf(digest: Digest, blob: Buffer): readonly Buffer[] {
  const ofBlob = known.get(blob) ?? new Map<Digest, readonly Buffer[]>();
  known.set(blob, ofBlob);
  const links = ofBlob.get(digest) ?? follow(digest, blob);
  ofBlob.set(digest, links);
  return links;
}

function follow(digest: Digest, blob: Buffer): Buffer[] {
  const chain = chainOf(digest);
  const size = blob.length;
  const links = [chain.start];
  for (let index = 0; index < pieceCount(size); index++) {
    const position = index * pieceLength(size);
    const piece = blob.subarray(position, position + sizeOfPiece(size, index));
    links.push(chain.next(links.at(-1)!, piece, { position, size }));
  }
  return links;
}
