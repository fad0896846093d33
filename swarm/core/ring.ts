/**
 * The origin ring: rendezvous (highest random weight) hashing, Thaler and Ravishankar 1998.
 * Every member is weighed against the key on its own, so a member that comes or goes moves only the keys
 * it wins or held, and "the next owner" is simply the next in order. Nobody has to agree on anything but
 * the list of members.
 */

/** Two 32-bit lanes of a running hash. */
type Lanes = [high: number, low: number];

/**
 * The members in order of ownership of `key`: the first owns it, the next takes over when the first is
 * lost, and so on. The same for every caller with the same set of members, whatever their order;
 * members named twice count once.
 */
export function owners(key: string, members: readonly string[]): string[] {
  const seed = absorb([0x9e3779b9, 0x85ebca6b], key);
  const weighed = [...new Set(members)].map((member) => ({ member, weight: weigh(seed, member) }));
  weighed.sort((a, b) => b.weight - a.weight || (a.member < b.member ? -1 : 1));
  return weighed.map(({ member }) => member);
}

/** A 53-bit weight of a member under a key's hash. */
function weigh(seed: Lanes, member: string): number {
  const [high, low] = absorb(seed, member);
  return (avalanche(high ^ (low >>> 16)) >>> 11) * 2 ** 32 + (avalanche(low ^ (high >>> 13)) >>> 0);
}

/** Mixes a string's UTF-16 units into both lanes, then its length, so that "a" + "bc" differs from "ab" + "c". */
function absorb([high, low]: Lanes, text: string): Lanes {
  for (let at = 0; at <= text.length; at++) {
    const unit = at < text.length ? text.charCodeAt(at) : text.length;
    high = Math.imul(high ^ unit, 0x9e3779b1);
    high ^= high >>> 15;
    low = Math.imul(low ^ unit, 0x5f356495);
    low ^= low >>> 13;
  }
  return [avalanche(high ^ low), avalanche(low + Math.imul(high, 0x27d4eb2f))];
}

/** MurmurHash3's 32-bit finaliser: each input bit flips each output bit with a chance of about one half. */
export function avalanche(word: number): number {
  word ^= word >>> 16;
  word = Math.imul(word, 0x85ebca6b);
  word ^= word >>> 13;
  word = Math.imul(word, 0xc2b2ae35);
  return word ^ (word >>> 16);
}
