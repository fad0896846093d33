/** What is to happen at a virtual time. */
type Action = () => void;

const FIRST_CAPACITY = 1_024;

/**
 * Virtual time in milliseconds and what is still to happen, in a binary heap. Things due at the same time happen in
 * the order in which they were asked for, so that messages between two hosts never overtake each other.
 */
export class Clock {
  #now = 0;
  #size = 0;
  #count = 0;
  #times = new Float64Array(FIRST_CAPACITY);
  #orders = new Float64Array(FIRST_CAPACITY);
  readonly #actions: Action[] = [];
  /**
   * Due now and asked for now, hence after all in the heap that is due now: between these places, in order. With thousands of
   * flows looked at once in a grain of time that is most of what happens.
   */
  readonly #due: (Action | undefined)[] = [];
  #dueFrom = 0;
  #dueTo = 0;

  get now(): number {
    return this.#now;
  }

  /** Events that have happened. */
  get events(): number {
    return this.#count - this.#size - (this.#dueTo - this.#dueFrom);
  }

  /** @param time in milliseconds; one that has passed means now */
  at(time: number, action: Action): void {
    const order = this.#count++;
    if (time <= this.#now) {
      this.#due[this.#dueTo++] = action;
      return;
    }
    if (this.#size === this.#times.length) this.#grow();
    this.#rise(this.#size++, time, order, action);
  }

  after(milliseconds: number, action: Action): void {
    this.at(this.#now + milliseconds, action);
  }

  /** Lets things happen until `done` says so, nothing is left, or `limit` (milliseconds) is reached. */
  run(done: () => boolean, limit: number): void {
    while (!done()) {
      if (this.#size > 0 && this.#times[0] === this.#now) this.#pop()();
      else if (this.#dueFrom < this.#dueTo) this.#nextDue()();
      else if (this.#size > 0 && this.#times[0]! <= limit) this.#now = this.#times[0]!;
      else return;
    }
  }

  #nextDue(): Action {
    const action = this.#due[this.#dueFrom]!;
    this.#due[this.#dueFrom++] = undefined;
    if (this.#dueFrom === this.#dueTo) this.#dueFrom = this.#dueTo = 0;
    return action;
  }

  #pop(): Action {
    const first = this.#actions[0]!;
    const last = --this.#size;
    const action = this.#actions[last]!;
    this.#actions.length = last;
    if (last > 0) this.#sink(this.#times[last]!, this.#orders[last]!, action);
    return first;
  }

  #rise(at: number, time: number, order: number, action: Action): void {
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#later(parent, time, order)) break;
      this.#put(at, this.#times[parent]!, this.#orders[parent]!, this.#actions[parent]!);
      at = parent;
    }
    this.#put(at, time, order, action);
  }

  #sink(time: number, order: number, action: Action): void {
    let at = 0;
    for (let child = 1; child < this.#size; child = 2 * at + 1) {
      const right = child + 1;
      if (right < this.#size && this.#later(child, this.#times[right]!, this.#orders[right]!)) child = right;
      if (this.#later(child, time, order)) break;
      this.#put(at, this.#times[child]!, this.#orders[child]!, this.#actions[child]!);
      at = child;
    }
    this.#put(at, time, order, action);
  }

  /** Whether what is kept at `at` comes after the other. */
  #later(at: number, time: number, order: number): boolean {
    const here = this.#times[at]!;
    return here > time || (here === time && this.#orders[at]! > order);
  }

  #put(at: number, time: number, order: number, action: Action): void {
    this.#times[at] = time;
    this.#orders[at] = order;
    this.#actions[at] = action;
  }

  #grow(): void {
    this.#times = widened(this.#times);
    this.#orders = widened(this.#orders);
  }
}

function widened(old: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const wide = new Float64Array(old.length * 2);
  wide.set(old);
  return wide;
}
