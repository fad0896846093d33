import { createHash } from 'node:crypto';
import type { Digest } from '#registry/digest.ts';

/** 20 bytes, in the place of a BEP 3 info-hash. */
export type SwarmId = Buffer;

const VERIFIED = 'shoal swarm 1 verified';
const LIVE = 'shoal swarm 1 live';

/** The swarm of content that matched its digest: whoever knows the digest finds it. */
export function verifiedSwarmId(digest: Digest): SwarmId {
  return hash(VERIFIED, digest);
}

/** The swarm of content that is still being read from a registry, kept apart so that a lying registry harms only those who asked it. */
export function liveSwarmId(digest: Digest, registry: string): SwarmId {
  return hash(LIVE, digest, registry);
}

/** Fields are separated by NUL, which neither digests nor registry names can hold. */
function hash(prefix: string, ...fields: string[]): SwarmId {
  for (const field of fields)
    if (field.includes('\0')) throw new RangeError('a field of a swarm id holds a NUL');
  return createHash('sha256')
    .update([prefix, ...fields].join('\0'))
    .digest()
    .subarray(0, 20);
}
