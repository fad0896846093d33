/** Runs at most `width` tasks at once, the others wait in order. */
export class Limiter {
  readonly #width: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(width: number) {
    this.#width = width;
  }

  get idle(): boolean {
    return this.#running === 0;
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running < this.#width) this.#running += 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await task();
    } finally {
      // The place is handed over, not freed, so that nobody slips in between.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }
}

/** Tasks of one key run one after the other, those of different keys side by side. Remembers a key only while it is in use. */
export class KeyedLimiter<K> {
  readonly #limiters = new Map<K, Limiter>();

  async run<T>(key: K, task: () => Promise<T>): Promise<T> {
    const limiter = this.#limiters.get(key) ?? new Limiter(1);
    this.#limiters.set(key, limiter);
    try {
      return await limiter.run(task);
    } finally {
      if (limiter.idle) this.#limiters.delete(key);
    }
  }
}
