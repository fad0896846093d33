/**
 * Whom a tracker names to a member that asks for peers. Pure: the caller keeps the index up to date and
 * passes the randomness in. A decision costs O(asked) however large the swarm is, because the index keeps
 * a bucket per place and each bucket is sampled without being walked.
 */

/** From the closest to the widest: how places nest. */
const LEVELS = ['node', 'rack', 'zone', 'region'] as const;
/** The slot of the bucket that holds every agent, wider than any place. */
const EVERYWHERE = LEVELS.length;
const ZONE = LEVELS.indexOf('zone');

/** Share of the agents handed out that may lie anywhere, so that a rack is never cut off from the rest. */
const FAR_SHARE = 1 / 4;
/** Share of complete members where both kinds are to be had: seeds serve at once, leechers spread load. */
const COMPLETE_SHARE = 1 / 2;
/** Most origins in one answer; never more than half of what was asked while agents are to be had. */
export const MAX_ORIGINS_PER_ANSWER = 2;
/** About how many agents are told of each origin of a swarm, however many agents the swarm has. */
export const ORIGIN_FANOUT = 64;
/** So many of one's own zone are enough to do with few of others, where those have a price. */
const ENOUGH_IN_ZONE = 8;
/** About how many agents of a zone are told of others' where crossing has a price, however many agents the zone has. */
export const ZONE_FANOUT = 16;
/** Draws spent on each far place before anyone at all may have it. */
const FAR_TRIES = 4;

export type Role = 'agent' | 'origin' | 'stranger';

/** Where a member runs, as far as it knows. */
export interface Topology {
  readonly node?: string | undefined;
  readonly rack?: string | undefined;
  readonly zone?: string | undefined;
  readonly region?: string | undefined;
}

/** A topology as keys of the buckets, one a level; a level that is not known has no key. */
export type Place = readonly (string | undefined)[];

/** The place of who tells nothing about it. */
export const NOWHERE: Place = placeOf({});

export interface Member {
  readonly id: string;
  readonly role: Role;
  readonly place: Place;
}

/** One member's seat in one swarm. Only the index changes it. */
export interface Seat<M extends Member> {
  readonly member: M;
  readonly complete: boolean;
}

export interface HandoutRequest {
  /** Never handed out itself; a complete one is told only of incomplete members, the others are of no use to it. */
  readonly asker: Member & { readonly complete: boolean };
  /** Most members wanted. */
  readonly want: number;
  /** Only members that hold the whole. */
  readonly completeOnly?: boolean;
  /** Most agents of other zones where the asker's own has enough; without it as many as anywhere. */
  readonly maxCrossZone?: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

interface MutableSeat<M extends Member> extends Seat<M> {
  complete: boolean;
  /** Position in the bucket of each level, so that a removal need not look for it. */
  readonly slots: number[];
}

interface Bucket<M extends Member> {
  complete: MutableSeat<M>[];
  incomplete: MutableSeat<M>[];
}

/** Keys nest: rack `1` of one zone is not rack `1` of another. A node's name is its own. */
export function placeOf(topology: Topology): Place {
  const { node, rack, zone, region } = topology;
  return [
    node,
    rack === undefined ? undefined : `${region ?? ''}\0${zone ?? ''}\0${rack}`,
    zone === undefined ? undefined : `${region ?? ''}\0${zone}`,
    region,
  ];
}

/** The members of one swarm. Adding, removing and changing a member is O(1). */
export class SwarmIndex<M extends Member> {
  readonly #seats = new Map<string, MutableSeat<M>>();
  readonly #places: readonly Map<string, Bucket<M>>[] = LEVELS.map(() => new Map<string, Bucket<M>>());
  readonly #agents: Bucket<M> = { complete: [], incomplete: [] };
  readonly #origins: Bucket<M> = { complete: [], incomplete: [] };

  get size(): number {
    return this.#seats.size;
  }

  /** Members that hold the whole, origins included. */
  get complete(): number {
    return this.#agents.complete.length + this.#origins.complete.length;
  }

  get incomplete(): number {
    return this.size - this.complete;
  }

  get(id: string): Seat<M> | undefined {
    return this.#seats.get(id);
  }

  members(): Iterable<M> {
    return this.#seats.values().map((seat) => seat.member);
  }

  /** Adds a member, or replaces the one of the same id. */
  set(member: M, complete: boolean): void {
    this.delete(member.id);
    const seat = { member, complete, slots: [0, 0, 0, 0, 0] };
    this.#seats.set(member.id, seat);
    this.#insert(seat);
  }

  /** False if there is no such member. */
  setComplete(id: string, complete: boolean): boolean {
    const seat = this.#seats.get(id);
    if (seat === undefined) return false;
    if (seat.complete === complete) return true;
    this.#remove(seat);
    seat.complete = complete;
    this.#insert(seat);
    return true;
  }

  delete(id: string): boolean {
    const seat = this.#seats.get(id);
    if (seat === undefined) return false;
    this.#seats.delete(id);
    this.#remove(seat);
    return true;
  }

  /**
   * At most `want` members, the asker never among them: the closest first, then some far ones, then
   * origins.
   */
  handOut(request: HandoutRequest): Seat<M>[] {
    const draw = new Draw<M>(request, this.#seats.get(request.asker.id));
    const want = Math.max(0, Math.floor(request.want));
    const origins = this.#originQuota(want, request, draw);
    const pool = this.#handOutAgents(want - origins, request, draw);
    const left = draw.seats.length === 0 ? Math.min(1, want) : Math.min(origins, want - draw.seats.length);
    draw.take(this.#origins, left);
    // A place may have been kept for the asker, being an origin itself.
    draw.take(pool, want - draw.seats.length);
    return draw.seats;
  }

  /** @returns the bucket that places left over are filled from */
  #handOutAgents(want: number, request: HandoutRequest, draw: Draw<M>): Bucket<M> {
    const {
      asker: { place },
      maxCrossZone,
    } = request;
    const near = want - Math.floor(want * FAR_SHARE);
    const zone = this.#placeOf(place, ZONE);
    const isEnough = (): boolean => maxCrossZone !== undefined && draw.seats.length >= ENOUGH_IN_ZONE;
    let level = 0;
    for (; level < EVERYWHERE && draw.seats.length < near && !(level > ZONE && isEnough()); level++) {
      const bucket = this.#placeOf(place, level);
      if (bucket !== undefined) draw.take(bucket, near - draw.seats.length);
    }
    const isLimited = zone !== undefined && isEnough();
    const pool = isLimited ? zone : this.#agents;
    const left = want - draw.seats.length;
    draw.takeFar(
      this.#agents,
      isLimited ? Math.min(left, crossZoneQuota(zone, request)) : left,
      (seat) => meetingLevel(seat.member.place, place) >= level,
    );
    // Far places that found nobody far go to whoever is left.
    draw.take(pool, want - draw.seats.length);
    return pool;
  }

  #placeOf(place: Place, level: number): Bucket<M> | undefined {
    const key = place[level];
    return key === undefined ? undefined : this.#places[level]!.get(key);
  }

  /** How many origins this answer may name: few, and in a large swarm mostly none. */
  #originQuota(want: number, { asker, random }: HandoutRequest, draw: Draw<M>): number {
    const candidates = Math.min(MAX_ORIGINS_PER_ANSWER, Math.floor(want / 2), draw.available(this.#origins));
    const agents = this.#agents.complete.length + this.#agents.incomplete.length;
    if (asker.role === 'origin' || agents <= ORIGIN_FANOUT) return candidates;
    let quota = 0;
    for (let n = 0; n < candidates; n++) if (random() < ORIGIN_FANOUT / agents) quota++;
    return quota;
  }

  #insert(seat: MutableSeat<M>): void {
    for (let level = 0; level <= EVERYWHERE; level++) {
      const bucket = this.#bucket(seat, level, true);
      if (bucket === undefined) continue;
      const kind = seat.complete ? 'complete' : 'incomplete';
      seat.slots[level] = bucket[kind].length;
      // Most nodes have one member: a fresh array has room for just that, one pushed to has room for 17.
      if (bucket[kind].length === 0) bucket[kind] = [seat];
      else bucket[kind].push(seat);
    }
  }

  #remove(seat: MutableSeat<M>): void {
    for (let level = 0; level <= EVERYWHERE; level++) {
      const bucket = this.#bucket(seat, level, false);
      if (bucket === undefined) continue;
      const list = seat.complete ? bucket.complete : bucket.incomplete;
      const last = list.pop()!;
      if (last !== seat) {
        list[seat.slots[level]!] = last;
        last.slots[level] = seat.slots[level]!;
      }
      if (level < EVERYWHERE && bucket.complete.length + bucket.incomplete.length === 0) {
        this.#places[level]!.delete(seat.member.place[level]!);
      }
    }
  }

  /** Origins have one bucket of their own; agents and strangers one per level and one for all. */
  #bucket(seat: MutableSeat<M>, level: number, create: boolean): Bucket<M> | undefined {
    const origin = seat.member.role === 'origin';
    if (level === EVERYWHERE) return origin ? this.#origins : this.#agents;
    const key = seat.member.place[level];
    if (origin || key === undefined) return undefined;
    const places = this.#places[level]!;
    let bucket = places.get(key);
    if (bucket === undefined && create) places.set(key, (bucket = { complete: [], incomplete: [] }));
    return bucket;
  }
}

/** One answer in the making: who is taken, and drawing without replacement. */
class Draw<M extends Member> {
  readonly seats: Seat<M>[] = [];
  readonly #taken = new Set<Seat<M>>();
  readonly #random: () => number;
  readonly #complete: boolean;
  readonly #incomplete: boolean;

  constructor({ asker, completeOnly, random }: HandoutRequest, own: Seat<M> | undefined) {
    this.#random = random;
    this.#complete = !asker.complete;
    this.#incomplete = completeOnly !== true;
    if (own !== undefined) this.#taken.add(own);
  }

  available(bucket: Bucket<M>): number {
    return (this.#complete ? bucket.complete.length : 0) + (this.#incomplete ? bucket.incomplete.length : 0);
  }

  /** Up to `count` of a bucket, complete and incomplete ones by their share, each making up for a lack of the other. */
  take(bucket: Bucket<M>, count: number): void {
    const end = this.seats.length + count;
    const complete = this.#complete ? bucket.complete : [];
    const incomplete = this.#incomplete ? bucket.incomplete : [];
    this.#sample(incomplete, count - Math.ceil(count * COMPLETE_SHARE));
    this.#sample(complete, end - this.seats.length);
    this.#sample(incomplete, end - this.seats.length);
  }

  /** Up to `count` of those that `isFar` likes, in a bounded number of draws. */
  takeFar(bucket: Bucket<M>, count: number, isFar: (seat: Seat<M>) => boolean): void {
    const lists = [this.#complete ? bucket.complete : [], this.#incomplete ? bucket.incomplete : []];
    const end = this.seats.length + count;
    for (let tries = count * FAR_TRIES; tries > 0 && this.seats.length < end; tries--) {
      const list = lists[tries % 2]!;
      const seat = list[Math.floor(this.#random() * list.length)];
      if (seat !== undefined && !this.#taken.has(seat) && isFar(seat)) this.#accept(seat);
    }
  }

  /**
   * A Fisher–Yates shuffle that stops as soon as enough are drawn and notes its swaps aside: at most
   * `count` draws and one for each seat that is taken already.
   */
  #sample(list: readonly MutableSeat<M>[], count: number): void {
    const swapped = new Map<number, MutableSeat<M>>();
    const end = this.seats.length + count;
    for (let left = list.length; left > 0 && this.seats.length < end; left--) {
      const at = Math.floor(this.#random() * left);
      const seat = swapped.get(at) ?? list[at]!;
      swapped.set(at, swapped.get(left - 1) ?? list[left - 1]!);
      if (!this.#taken.has(seat)) this.#accept(seat);
    }
  }

  #accept(seat: Seat<M>): void {
    this.#taken.add(seat);
    this.seats.push(seat);
  }
}

/** How many of other zones this answer may name: in a large zone mostly none, for a few members bring in what all lack. */
function crossZoneQuota<M extends Member>(zone: Bucket<M>, { maxCrossZone, random }: HandoutRequest): number {
  const members = zone.complete.length + zone.incomplete.length;
  return random() < ZONE_FANOUT / members ? (maxCrossZone ?? 0) : 0;
}

/** The closest level that two places share; `EVERYWHERE` when they share none. */
function meetingLevel(a: Place, b: Place): number {
  const level = LEVELS.findIndex((_, at) => a[at] !== undefined && a[at] === b[at]);
  return level === -1 ? EVERYWHERE : level;
}
