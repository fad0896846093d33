import { writeFile } from 'node:fs/promises';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { StoredBlob } from '#swarm/store/blob-store.ts';
import { StoreFullError } from '#swarm/store/errors.ts';
import { readAll, StoreFixture } from './store-fixture.ts';
import { CONTENTS, Model, QUOTA, TICK, type Operation } from './store-model.ts';

const blob = fc.nat({ max: CONTENTS.length - 1 });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom('put', 'open', 'close'), blob }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('partial'),
      blob,
      end: fc.constantFrom('keep', 'commit', 'discard'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('prune'), ticks: fc.integer({ min: 0, max: 6 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('prune'), toBytes: fc.nat({ max: QUOTA }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart'), clean: fc.boolean() }) },
);

/** The store under test and the blobs that a test holds open. */
class Subject {
  readonly fixture: StoreFixture;
  readonly #open: { index: number; handle: StoredBlob }[] = [];

  constructor(fixture: StoreFixture) {
    this.fixture = fixture;
  }

  /** False where the store had no room, or nothing to open or close. */
  async apply(step: Operation): Promise<boolean> {
    try {
      return (await this.#perform(step)) ?? true;
    } catch (error) {
      if (error instanceof StoreFullError) return false;
      throw error;
    }
  }

  async #perform(step: Operation): Promise<boolean | void> {
    switch (step.kind) {
      case 'put':
        return (await this.fixture.store.put(CONTENTS[step.blob]!.digest, CONTENTS[step.blob]!.bytes, {}))
          .written;
      case 'partial':
        return this.#partial(step.blob, step.end);
      case 'open':
        return this.#acquire(step.blob);
      case 'close':
        return this.#release(step.blob);
      case 'prune':
        return this.#prune(step);
      case 'restart':
        return this.#restart(step.clean);
    }
  }

  async #partial(index: number, end: 'keep' | 'commit' | 'discard'): Promise<void> {
    const { bytes, digest } = CONTENTS[index]!;
    await using partial = await this.fixture.store.partial({ digest, scope: 'r' }, bytes.length);
    if (partial.resumed) {
      const kept = Buffer.alloc(bytes.length);
      await partial.read(0, kept);
      if (!kept.equals(bytes)) throw new Error('what was kept has changed');
    }
    await partial.write(0, bytes);
    if (end === 'commit') await partial.commit({});
    if (end === 'discard') await partial.discard();
  }

  async #acquire(index: number): Promise<boolean> {
    const handle = await this.fixture.store.open(CONTENTS[index]!.digest);
    if (handle) this.#open.push({ index, handle });
    return handle !== undefined;
  }

  async #release(index: number): Promise<boolean> {
    const at = this.#open.findIndex((held) => held.index === index);
    if (at === -1) return false;
    const [held] = this.#open.splice(at, 1);
    await held!.handle[Symbol.asyncDispose]();
    return true;
  }

  async #prune(step: Operation & { kind: 'prune' }): Promise<void> {
    await this.fixture.store.prune({
      ...(step.ticks === undefined ? {} : { olderThanMs: step.ticks * TICK + TICK / 2 }),
      ...(step.toBytes === undefined ? {} : { toBytes: step.toBytes }),
    });
  }

  async #restart(clean: boolean): Promise<void> {
    this.#open.length = 0;
    await this.fixture.store[Symbol.asyncDispose]();
    if (!clean) await writeFile(this.fixture.directory.join('v1', 'unclean'), '"all"');
    await this.fixture.reopen();
  }
}

test('through any sequence of work and restarts the store keeps what it should, in order and within the quota', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 40 }), async (steps) => {
      await using fixture = await StoreFixture.open(QUOTA);
      const model = new Model();
      const subject = new Subject(fixture);
      const start = fixture.time;
      for (const step of steps) {
        model.time += TICK;
        fixture.time = start + model.time;
        expect(await subject.apply(step)).toBe(model.apply(step));
        const names = model.blobs.map((item) => CONTENTS[item.blob]!.digest);
        expect(fixture.store.digests()).toEqual(names);
        const bytes = model.blobs.reduce((sum, item) => sum + item.size, 0);
        const partialBytes = model.partials.reduce((sum, item) => sum + item.size, 0);
        expect(fixture.store.usage()).toMatchObject({ blobs: names.length, bytes, partialBytes });
      }
      for (const item of model.blobs) {
        const { bytes, digest } = CONTENTS[item.blob]!;
        expect((await readAll(fixture.store, digest))?.equals(bytes)).toBe(true);
      }
      expect(fixture.warnings).toEqual([]);
    }),
    { numRuns: 100 },
  );
}, 60_000);
