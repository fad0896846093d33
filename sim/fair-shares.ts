import { LinkHeap } from './link-heap.ts';

/** A flow crosses two links, its sender's and its receiver's, or four where it goes from zone to zone. */
export const LINKS_PER_FLOW = 4;

/** In place of a third and fourth link. */
export const NO_LINK = -1;

/** Shares that differ by less, as a part of themselves, differ by rounding. */
const ROUNDING = 1 + 1e-9;

/**
 * Max-min fair rates by progressive filling (Bertsekas and Gallager, Data Networks, 6.5.2): the link whose equal share
 * is smallest fixes its flows' rates, what they leave elsewhere is shared among the rest, and so on.
 * Costs O(flows + links · log links).
 */
export class FairShares {
  readonly #capacities: number[] = [];
  readonly #heap = new LinkHeap();
  /** By link: what is not given away yet, to how many flows, and where its flows begin and end in `#members`. */
  #left = new Float64Array(0);
  #open = new Int32Array(0);
  #starts = new Int32Array(0);
  #ends = new Int32Array(0);
  #members = new Int32Array(0);

  /** @param capacity bytes per millisecond @returns the link's number */
  addLink(capacity: number): number {
    return this.#capacities.push(capacity) - 1;
  }

  get links(): number {
    return this.#capacities.length;
  }

  capacity(link: number): number {
    return this.#capacities[link]!;
  }

  /**
   * Sets `rates[flow]` of each of the first `count` of `flows`.
   * @param links `LINKS_PER_FLOW` numbers of each flow
   */
  share(flows: Int32Array, count: number, links: Int32Array, rates: Float64Array): void {
    this.#reserve(count);
    this.#listFlows(flows, count, links);
    for (let at = 0; at < count; at++) rates[flows[at]!] = -1;
    for (let link = 0; link < this.#open.length; link++) {
      if (this.#open[link]! > 0) this.#heap.push(link, this.#left[link]! / this.#open[link]!);
    }
    while (this.#heap.size > 0) {
      const key = this.#heap.leastKey;
      const link = this.#heap.pop();
      if (this.#open[link] === 0) continue;
      const share = Math.max(0, this.#left[link]! / this.#open[link]!);
      // Some of its flows were fixed elsewhere at less than their share here: there is more for the rest, later.
      if (share > key * ROUNDING) this.#heap.push(link, share);
      else this.#fix(link, share, links, rates);
    }
  }

  #fix(link: number, share: number, links: Int32Array, rates: Float64Array): void {
    for (let at = this.#starts[link]!; at < this.#ends[link]!; at++) {
      const flow = this.#members[at]!;
      if (rates[flow]! >= 0) continue;
      rates[flow] = share;
      const first = flow * LINKS_PER_FLOW;
      for (let crossed = first; crossed < first + LINKS_PER_FLOW && links[crossed] !== NO_LINK; crossed++) {
        this.#left[links[crossed]!]! -= share;
        this.#open[links[crossed]!]!--;
      }
    }
  }

  #listFlows(flows: Int32Array, count: number, links: Int32Array): void {
    for (let at = 0; at < count; at++) {
      const first = flows[at]! * LINKS_PER_FLOW;
      for (let crossed = first; crossed < first + LINKS_PER_FLOW && links[crossed] !== NO_LINK; crossed++)
        this.#open[links[crossed]!]!++;
    }
    let end = 0;
    for (let link = 0; link < this.#open.length; link++) {
      this.#starts[link] = this.#ends[link] = end;
      end += this.#open[link]!;
    }
    for (let at = 0; at < count; at++) {
      const flow = flows[at]!;
      const first = flow * LINKS_PER_FLOW;
      for (let crossed = first; crossed < first + LINKS_PER_FLOW && links[crossed] !== NO_LINK; crossed++)
        this.#members[this.#ends[links[crossed]!]!++] = flow;
    }
  }

  #reserve(flows: number): void {
    const links = this.#capacities.length;
    if (this.#left.length < links) {
      this.#left = new Float64Array(links);
      this.#open = new Int32Array(links);
      this.#starts = new Int32Array(links);
      this.#ends = new Int32Array(links);
    }
    if (this.#members.length < flows * LINKS_PER_FLOW)
      this.#members = new Int32Array(flows * LINKS_PER_FLOW * 2);
    this.#left.set(this.#capacities);
    this.#open.fill(0);
  }
}
