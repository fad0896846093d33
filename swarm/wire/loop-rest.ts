/** Below this little is saved, and what comes may be the answer that somebody waits for. Bytes per second. */
const LEAST_RATE = 1_000_000;

/** How often the rate is looked at. Milliseconds. */
const LOOK_MS = 100;

/** A rest grows by so much where the rate stands still, and is halved where it does not. Milliseconds. */
const STEP_MS = 2;

/** How many times the last rate still counts as the same: a pull that speeds up is not held up, and one that slows down may do so for the rests. */
const STILL = { least: 0.8, most: 1.25 };

/** Of a sender and of a receiver together no more than what requests are asked ahead for (`COVER_SECONDS`, swarm/core/pipeline.ts). Milliseconds. */
const LONGEST_REST_MS = 20;

/** A rest is no longer than so much takes to come or to go: a quick network has its requests answered as quickly. Bytes. */
const REST_BYTES = 512 * 1024;

/** A shorter rest costs more than it spares. Milliseconds. */
const SHORTEST_REST_MS = 0.5;

interface LoopRestParts {
  /** Milliseconds. */
  readonly now: () => number;
  /** Keeps the thread for so many milliseconds. */
  readonly sleep: (ms: number) => void;
  /** Calls back when this turn of the event loop has read all sockets. */
  readonly atEndOfTurn: (call: () => void) => void;
}

/**
 * Has the event loop turn less often while pieces come steadily, as network cards gather interrupts. Each turn costs a process that shares its
 * processors the same, however little there is to read in it: what came meanwhile is read at once afterwards.
 * It rests only after a turn that brought bytes from peers, and never while somebody who asked this process is being answered,
 * a connection is being made or a piece is read from disk: these go in many short steps, and would make one in each turn.
 */
export class LoopRest {
  readonly #parts: LoopRestParts;
  #scheduled = false;
  /** Bytes in and out since the last look, and when that was. */
  #received = 0;
  #sent = 0;
  #lookedAt = 0;
  #rate = 0;
  #restMs = 0;
  #turnBegan = 0;
  #answering = 0;

  constructor(parts: LoopRestParts) {
    this.#parts = parts;
  }

  /** Peers have sent so many bytes. */
  received(bytes: number): void {
    this.#received += bytes;
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#parts.atEndOfTurn(this.#endTurn);
  }

  /** Peers are being sent so many bytes. */
  sent(bytes: number): void {
    this.#sent += bytes;
  }

  /** Somebody is being answered, or something takes many short steps, until `letRest`: no rest. Calls are counted. */
  keepAwake(): void {
    this.#answering++;
  }

  /** It is done, or waits for what peers send. */
  letRest(): void {
    this.#answering--;
  }

  readonly #endTurn = (): void => {
    this.#scheduled = false;
    const now = this.#parts.now();
    if (now - this.#lookedAt >= LOOK_MS) this.#look(now);
    const restMs = this.#turnBegan + this.#restMs - now;
    if (restMs >= SHORTEST_REST_MS && this.#answering <= 0) this.#parts.sleep(restMs);
    this.#turnBegan = this.#parts.now();
  };

  #look(now: number): void {
    const seconds = (now - this.#lookedAt) / 1_000;
    const rate = this.#received / seconds;
    const change = rate / this.#rate;
    if (change > STILL.least && change < STILL.most) this.#restMs += STEP_MS;
    else this.#restMs /= 2;
    const longest = (REST_BYTES * seconds * 1_000) / Math.max(this.#received, this.#sent);
    this.#restMs = rate < LEAST_RATE ? 0 : Math.min(this.#restMs, LONGEST_REST_MS, longest);
    this.#rate = rate;
    this.#received = 0;
    this.#sent = 0;
    this.#lookedAt = now;
  }
}

const never = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

/** This process has one event loop. */
export const loopRest = new LoopRest({
  now: () => performance.now(),
  sleep: (ms) => void Atomics.wait(never, 0, 0, ms),
  atEndOfTurn: setImmediate,
});
