import type { Clock } from './clock.ts';
import { FairShares, LINKS_PER_FLOW, NO_LINK } from './fair-shares.ts';

/** Less than this is left over by rounding. Bytes. */
const ROUNDING = 1e-3;

const FIRST_CAPACITY = 1_024;

/** Bytes on their way from one host to another over shared links. */
export interface Flow {
  /** Its place in the fluid's tables. */
  readonly slot: number;
}

/** Whose bytes a flow carries. */
export interface Sender {
  /** What was started has passed, at that time (milliseconds), perhaps a grain ago. It may start the next. */
  passed(at: number): void;
}

/**
 * Flows that share links max-min fairly. Shares are worked out anew when a flow starts or ends, but at most once a
 * grain of time, for with thousands of hosts that is every few microseconds; within a grain the rates stand, and what
 * a flow has left when its block has passed goes to its next block. Grain 0 is exact.
 */
export class Fluid {
  readonly shares = new FairShares();
  readonly #clock: Clock;
  readonly #grainMs: number;
  /** By slot. */
  #links = new Int32Array(FIRST_CAPACITY * LINKS_PER_FLOW);
  #rates = new Float64Array(FIRST_CAPACITY);
  #left = new Float64Array(FIRST_CAPACITY);
  /** Place among those that flow; -1 while nothing does. */
  #places = new Int32Array(FIRST_CAPACITY).fill(-1);
  readonly #senders: Sender[] = [];
  readonly #free: number[] = [];
  /** Slots of those that flow. */
  #flowing = new Int32Array(FIRST_CAPACITY);
  #count = 0;
  /** Slots of those whose block has passed when time goes on. */
  #passed = new Int32Array(FIRST_CAPACITY);
  #at = 0;
  #changed = false;
  /** When shares are looked at next. */
  #nextAt = Infinity;

  constructor(clock: Clock, grainMs: number) {
    this.#clock = clock;
    this.#grainMs = grainMs;
  }

  /** @param links the sender's and the receiver's, and those between them if any */
  open(links: readonly number[], sender: Sender): Flow {
    const slot = this.#free.pop() ?? this.#senders.length;
    if (slot === this.#rates.length) this.#grow();
    this.#senders[slot] = sender;
    for (let at = 0; at < LINKS_PER_FLOW; at++)
      this.#links[slot * LINKS_PER_FLOW + at] = links[at] ?? NO_LINK;
    return { slot };
  }

  /** The flow is not used any more. */
  close(flow: Flow): void {
    this.stop(flow);
    this.#free.push(flow.slot);
  }

  /** Sends `bytes` along a flow, after what is on its way. */
  start({ slot }: Flow, bytes: number): void {
    this.#left[slot]! += bytes;
    if (this.#places[slot]! >= 0) return;
    this.#places[slot] = this.#count;
    this.#flowing[this.#count++] = slot;
    this.#rates[slot] = 0;
    this.#change();
  }

  /** What has not passed yet never will. */
  stop({ slot }: Flow): void {
    this.#left[slot] = 0;
    const place = this.#places[slot]!;
    if (place < 0) return;
    const last = this.#flowing[--this.#count]!;
    this.#flowing[place] = last;
    this.#places[last] = place;
    this.#places[slot] = -1;
    this.#change();
  }

  /** Bytes per millisecond that cross a link now. */
  load(link: number): number {
    let sum = 0;
    for (let at = 0; at < this.#count; at++) {
      const slot = this.#flowing[at]!;
      const first = slot * LINKS_PER_FLOW;
      if (this.#links.subarray(first, first + LINKS_PER_FLOW).includes(link)) sum += this.#rates[slot]!;
    }
    return sum;
  }

  #change(): void {
    this.#changed = true;
    const { now } = this.#clock;
    this.#wake(this.#grainMs === 0 ? now : Math.ceil(now / this.#grainMs) * this.#grainMs);
  }

  #wake(time: number): void {
    if (time >= this.#nextAt) return;
    this.#nextAt = time;
    this.#clock.at(time, () => this.#onTime(time));
  }

  #onTime(time: number): void {
    // An earlier look has come in between.
    if (time !== this.#nextAt) return;
    this.#nextAt = Infinity;
    this.#advance(this.#clock.now);
    if (this.#changed) this.shares.share(this.#flowing, this.#count, this.#links, this.#rates);
    this.#changed = false;
    if (this.#count > 0) this.#wake(this.#clock.now + (this.#grainMs || this.#untilNextPasses()));
  }

  #untilNextPasses(): number {
    let soonest = Infinity;
    for (let at = 0; at < this.#count; at++) {
      const slot = this.#flowing[at]!;
      soonest = Math.min(soonest, this.#left[slot]! / this.#rates[slot]!);
    }
    return soonest;
  }

  #advance(now: number): void {
    const from = this.#at;
    this.#at = now;
    if (now === from) return;
    let passed = 0;
    for (let at = 0; at < this.#count; at++) {
      const slot = this.#flowing[at]!;
      const budget = this.#rates[slot]! * (now - from);
      if (this.#left[slot]! > budget + ROUNDING) this.#left[slot]! -= budget;
      else this.#passed[passed++] = slot;
    }
    // What they do next may start and stop others.
    for (let at = 0; at < passed; at++) {
      const slot = this.#passed[at]!;
      this.#pass(slot, this.#rates[slot]! * (now - from), now);
    }
  }

  #pass(slot: number, budget: number, now: number): void {
    while (this.#places[slot]! >= 0) {
      if (this.#left[slot]! > budget + ROUNDING) {
        this.#left[slot]! -= budget;
        return;
      }
      budget = Math.max(0, budget - this.#left[slot]!);
      this.#left[slot] = 0;
      this.#senders[slot]!.passed(now - budget / this.#rates[slot]!);
      if (this.#left[slot] === 0) return this.stop({ slot });
    }
  }

  #grow(): void {
    const size = this.#rates.length * 2;
    this.#links = copied(this.#links, new Int32Array(size * LINKS_PER_FLOW));
    this.#rates = copied(this.#rates, new Float64Array(size));
    this.#left = copied(this.#left, new Float64Array(size));
    this.#places = copied(this.#places, new Int32Array(size).fill(-1));
    this.#passed = copied(this.#passed, new Int32Array(size));
    this.#flowing = copied(this.#flowing, new Int32Array(size));
  }
}

function copied<A extends Float64Array<ArrayBuffer> | Int32Array<ArrayBuffer>>(old: A, wide: A): A {
  wide.set(old);
  return wide;
}
