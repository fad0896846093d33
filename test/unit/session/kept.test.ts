import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { SwarmFixture } from './swarm-fixture.ts';

it('small content that was evicted as soon as it was written is not told of to anybody', async () => {
  await using fixture = await SwarmFixture.start();
  await using member = await fixture.member('agent');
  const { swarm, store } = member;
  const bytes = Buffer.from('here and gone');
  const put = store.put.bind(store);
  let evicted: Promise<number> | undefined;
  store.put = async (...asked) => {
    const { written } = await put(...asked);
    evicted = written.then(async () => (await store.prune({ all: true })).blobs);
    return { written: evicted.then(() => undefined) };
  };
  await swarm.engine.keep(digestOf(bytes), bytes, {}, (error) => expect.unreachable(error.message));
  expect(await evicted).toBe(1);
  await turn();
  expect(swarm.engine.status.seeded).toBe(0);
});
