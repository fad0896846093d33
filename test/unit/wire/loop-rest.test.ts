import { describe, expect, it } from 'vitest';
import { LoopRest } from '#swarm/wire/loop-rest.ts';

const MB = 1_000_000;

/** An event loop on a virtual clock whose every turn brings what came since the last, and takes `busyMs`. */
class Loop {
  readonly rests: number[] = [];
  readonly rest = new LoopRest({
    now: () => this.#now,
    sleep: (ms) => {
      this.rests.push(ms);
      this.#now += ms;
    },
    atEndOfTurn: (call) => {
      this.#ending = call;
    },
  });
  #now = 1_000;
  #ending: (() => void) | undefined;
  #readAt = 1_000;

  get longest(): number {
    return Math.max(0, ...this.rests);
  }

  /** Turns at least 1 ms apart, for so long. @param rate bytes per second in, at a time in milliseconds since the start */
  run(forMs: number, rate: number | ((at: number) => number), busyMs = 0, sentRate = 0): void {
    const start = this.#now;
    while (this.#now < start + forMs) {
      this.#now += 1;
      const now = typeof rate === 'number' ? rate : rate(this.#now - start);
      const seconds = (this.#now - this.#readAt) / 1_000;
      this.rest.received(now * seconds);
      this.rest.sent(sentRate * seconds);
      this.#readAt = this.#now;
      this.#now += busyMs;
      this.#ending?.();
      this.#ending = undefined;
    }
  }

  forget(): void {
    this.rests.length = 0;
  }
}

describe('the rests of the event loop', () => {
  it('come while pieces come steadily, and grow to 20 ms', () => {
    const loop = new Loop();
    loop.run(400, 10 * MB);
    expect(loop.longest).toBeGreaterThan(1);
    expect(loop.longest).toBeLessThan(8);
    loop.run(2_000, 10 * MB);
    expect(loop.longest).toBeCloseTo(19, -1);
    expect(loop.longest).toBeLessThanOrEqual(20);
    loop.forget();
    loop.run(1_000, 10 * MB);
    expect(loop.rests.length).toBeGreaterThan(40);
    expect(loop.rests.length).toBeLessThan(60);
  });

  it('do not come where little comes', () => {
    const loop = new Loop();
    loop.run(3_000, 0.5 * MB);
    expect(loop.rests).toEqual([]);
  });

  it('end when little comes after much', () => {
    const loop = new Loop();
    loop.run(2_000, 10 * MB);
    loop.run(200, 0.1 * MB);
    loop.forget();
    loop.run(1_000, 0.1 * MB);
    expect(loop.rests).toEqual([]);
  });

  it('do not hold up a pull that speeds up', () => {
    const loop = new Loop();
    loop.run(2_000, (at) => 2 * MB * 1.4 ** (at / 100));
    expect(loop.rests).toEqual([]);
  });

  it('give way to a pull that speeds up or slows down after all', () => {
    for (const factor of [1.4, 0.7]) {
      const loop = new Loop();
      loop.run(2_000, 10 * MB);
      loop.run(350, (at) => 10 * MB * factor ** (at / 100));
      loop.forget();
      loop.run(100, (at) => 10 * MB * factor ** (3.5 + at / 100));
      expect(loop.longest).toBeGreaterThan(0.5);
      expect(loop.longest).toBeLessThan(4);
    }
  });

  it('are short at once when it comes much faster', () => {
    const loop = new Loop();
    loop.run(2_000, 10 * MB);
    loop.run(150, 400 * MB);
    loop.forget();
    loop.run(500, 400 * MB);
    expect(loop.longest).toBeLessThan(1.4);
  });

  it('are shorter the faster it goes, too', () => {
    const loop = new Loop();
    loop.run(3_000, 10 * MB, 0, 100 * MB);
    expect(loop.longest).toBeGreaterThan(3);
    expect(loop.longest).toBeLessThan(5.3);
  });

  it('are shorter the faster it comes', () => {
    const loop = new Loop();
    loop.run(3_000, 100 * MB);
    expect(loop.longest).toBeGreaterThan(3);
    expect(loop.longest).toBeLessThan(5.3);
    const faster = new Loop();
    faster.run(3_000, 2_000 * MB);
    expect(faster.rests).toEqual([]);
  });

  it('are not added to turns that take as long by themselves', () => {
    const loop = new Loop();
    loop.run(3_000, 10 * MB, 25);
    expect(loop.rests).toEqual([]);
  });

  it('do not come while somebody is answered, and come again afterwards', () => {
    const loop = new Loop();
    loop.run(2_000, 10 * MB);
    loop.forget();
    loop.rest.keepAwake();
    loop.rest.keepAwake();
    loop.rest.letRest();
    loop.run(1_000, 10 * MB);
    expect(loop.rests).toEqual([]);
    loop.rest.letRest();
    loop.run(1_000, 10 * MB);
    expect(loop.rests.length).toBeGreaterThan(40);
  });
});
