import { DISK_RELIEF_BYTES, DISK_RELIEF_ROUNDS } from './constants.ts';
import { isDiskFull, StoreFullError } from './errors.ts';
import { Limiter } from './limiter.ts';

/** What went. */
export interface Removed {
  readonly kind: 'blob' | 'partial';
  readonly bytes: number;
}

/** Something that may go to make room. */
export interface Victim {
  /** Removes it; undefined when it is in use by now. Never rejects. */
  remove(): Promise<Removed | undefined>;
}

export interface RoomParts {
  /** What may go, the most dispensable first. */
  victims(): AsyncIterable<Victim>;
  /** The bytes of all that may go. */
  evictable(): number;
  /** True while one more blob would be one too many, whatever its size. */
  crowded(): boolean;
}

/** The account of the quota: who puts bytes on disk reserves them first, who removes some releases them after. */
export class Room {
  readonly quotaBytes: number;
  readonly #parts: RoomParts;
  readonly #evicting = new Limiter(1);
  #charged = 0;
  #reliefs = 0;
  #evictions = 0;
  #refusals = 0;

  constructor(parts: RoomParts, quotaBytes: number) {
    this.#parts = parts;
    this.quotaBytes = quotaBytes;
  }

  /** Bytes reserved and not released. */
  get charged(): number {
    return this.#charged;
  }

  /** How often something went to make room. */
  get evictions(): number {
    return this.#evictions;
  }

  /** How often there was no room, whatever went. */
  get refusals(): number {
    return this.#refusals;
  }

  /** Takes what lies on disk already into the account, even above the quota. */
  charge(bytes: number): void {
    this.#charged += bytes;
  }

  release(bytes: number): void {
    this.#charged -= bytes;
  }

  /** Charges the bytes as soon as they fit, evicting as needed. @throws StoreFullError when they cannot be made to fit */
  async reserve(bytes: number): Promise<void> {
    if (this.#take(bytes)) return;
    if (bytes > this.quotaBytes) {
      throw this.#full(`${bytes} bytes exceed the store's quota of ${this.quotaBytes}`);
    }
    await this.#evicting.run(async () => {
      if (this.#take(bytes)) return;
      // Where even that would not do, nothing should go in vain.
      if (this.#charged - this.#parts.evictable() + bytes <= this.quotaBytes) {
        for await (const victim of this.#parts.victims()) {
          await this.#evict(victim);
          if (this.#take(bytes)) return;
        }
      }
      throw this.#full(
        `no room for ${bytes} bytes: all that the quota of ${this.quotaBytes} allows is in use`,
      );
    });
  }

  /** Evicts down to the quota, after a start with a smaller one. */
  trim(): Promise<void> {
    return this.#evicting.run(async () => {
      if (this.#charged <= this.quotaBytes) return;
      for await (const victim of this.#parts.victims()) {
        await this.#evict(victim);
        if (this.#charged <= this.quotaBytes) return;
      }
    });
  }

  async #evict(victim: Victim): Promise<number> {
    const removed = await victim.remove();
    if (!removed) return 0;
    this.#evictions += 1;
    return removed.bytes;
  }

  #full(message: string, cause?: unknown): StoreFullError {
    this.#refusals += 1;
    return new StoreFullError(message, { cause });
  }

  #take(bytes: number): boolean {
    if (bytes > 0 && (this.#charged + bytes > this.quotaBytes || this.#parts.crowded())) return false;
    this.#charged += bytes;
    return true;
  }

  /**
   * Runs an attempt to write some bytes; where the disk is full, evicts and runs it again.
   * @throws StoreFullError when the disk stays full
   */
  async retryWhenDiskFull<T>(bytes: number, attempt: () => Promise<T>): Promise<T> {
    for (let round = 1; ; round += 1) {
      const reliefs = this.#reliefs;
      try {
        return await attempt();
      } catch (error) {
        if (!isDiskFull(error)) throw error;
        if (
          round > DISK_RELIEF_ROUNDS ||
          !(await this.#relieve(Math.max(bytes, DISK_RELIEF_BYTES), reliefs))
        ) {
          throw this.#full('the disk is full and nothing is left to evict', error);
        }
      }
    }
  }

  /** False when nothing could go. Another's relief since `seen` counts as one's own. */
  #relieve(bytes: number, seen: number): Promise<boolean> {
    return this.#evicting.run(async () => {
      if (this.#reliefs !== seen) return true;
      let freed = 0;
      for await (const victim of this.#parts.victims()) {
        freed += await this.#evict(victim);
        if (freed >= bytes) break;
      }
      if (freed > 0) this.#reliefs += 1;
      return freed > 0;
    });
  }
}
