/** Blocks kept asked of a peer at least, so that it has the next one to send when one has left. */
const FIRST_BLOCKS = 2;

/**
 * A block takes its sender about this long. Over a slow link that many connections share, long blocks would queue for seconds
 * in front of what a reader waits for, and each keeps its memory while it arrives. Seconds.
 */
const BLOCK_SECONDS = 0.25;

/** How long a block to ask for where the peer's speed is not known yet: two are a piece of most blobs. Bytes. */
const FIRST_BLOCK_BYTES = 128 * 1024;

/** Blocks are at least so long, where the peer takes as much: what each costs apart from its bytes counts then. Bytes. */
const LEAST_BLOCK_BYTES = 32 * 1024;

/** What is on its way covers this much time at the peer's rate, over and above one block. Seconds. */
const COVER_SECONDS = 0.05;

/** Never more than this is asked of one peer at once, nor kept waiting by it. Bytes. */
export const MAX_PIPELINE_BYTES = 4 * 1024 * 1024;

/** Half-life of the rate's memory. Milliseconds. */
const RATE_HALF_LIFE_MS = 1_000;

/** A rate is told as if it had been watched for this long at least: one block alone says nothing of speed. Milliseconds. */
const FIRST_AGE_MS = 100;

/** A peer whose speed is not known is asked for blocks as if it gave so much. Bytes per second. */
const UNKNOWN_RATE = FIRST_BLOCK_BYTES / BLOCK_SECONDS;

/** More than that, given before a peer was asked for nothing for so long, says nothing of what it gives now. Milliseconds. */
const FORGET_MS = 2_000;

/** Bytes per second with exponential forgetting, while something is waited for; time is passed in, in milliseconds. */
export class Rate {
  #bytes = 0;
  #since: number | undefined;
  #at = 0;
  #paused = false;

  /** Something is waited for from now on. */
  resume(now: number): void {
    if (this.#since === undefined || (this.#paused && this.perSecond(now) === 0)) {
      this.#bytes = 0;
      this.#since = now;
    } else if (this.#paused) this.#since += Math.max(0, now - this.#at);
    this.#at = Math.max(this.#at, now);
    this.#paused = false;
  }

  /** Nothing is waited for: time does not count until `resume`. */
  pause(now: number): void {
    if (this.#paused) return;
    this.#since ??= now;
    this.#decay(now);
    this.#paused = true;
  }

  add(bytes: number, now: number): void {
    this.#since ??= now;
    this.#decay(now);
    this.#bytes += bytes;
  }

  /** Bytes per second as of `now`; 0 where it is not known. */
  perSecond(now: number): number {
    if (this.#since === undefined) return 0;
    if (!this.#paused) this.#decay(now);
    const memory = RATE_HALF_LIFE_MS / Math.LN2;
    const age = Math.max(this.#at - this.#since, FIRST_AGE_MS);
    // Before the memory is full its weight is what has been seen of it, else young rates read too low.
    const rate = (this.#bytes * 1_000) / (memory * (1 - Math.exp(-age / memory)));
    const isOld = this.#paused && now - this.#at > FORGET_MS;
    return isOld && rate > UNKNOWN_RATE ? 0 : rate;
  }

  #decay(now: number): void {
    if (now <= this.#at) return;
    this.#bytes *= 2 ** -((now - this.#at) / RATE_HALF_LIFE_MS);
    this.#at = now;
  }
}

/**
 * How long a block to ask a peer for: as much as comes in a moment, in powers of two.
 * @param longest bytes that the peer gives at once
 * @param bytesPerSecond what the peer gave of late; 0 where that is not known
 */
export function blockBytes(longest: number, bytesPerSecond: number): number {
  if (bytesPerSecond === 0) return Math.min(longest, FIRST_BLOCK_BYTES);
  const most = Math.min(longest, bytesPerSecond * BLOCK_SECONDS);
  let length = Math.min(longest, LEAST_BLOCK_BYTES);
  while (length * 2 <= most) length *= 2;
  return length;
}

/**
 * Bytes to keep asked of a peer: as deep as bandwidth × delay and no deeper, since what is asked of one peer
 * early cannot be had from another that turns out quicker.
 * @param blockLength bytes of a request
 * @param bytesPerSecond what the peer gave of late
 */
export function pipelineBytes(blockLength: number, bytesPerSecond: number): number {
  const cover = blockLength + bytesPerSecond * COVER_SECONDS;
  return Math.min(MAX_PIPELINE_BYTES, Math.max(FIRST_BLOCKS * blockLength, cover));
}
