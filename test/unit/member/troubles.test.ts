import { expect, test } from 'vitest';

import { Troubles } from '#swarm/member/troubles.ts';

test('a store that had no room is trouble for ten minutes after the last time', () => {
  const usage = { blobs: 0, bytes: 0, partialBytes: 0, quotaBytes: 0, evictions: 0, refusals: 0 };
  let now = 0;
  const troubles = new Troubles({ usage: () => usage }, () => now);
  expect(troubles.current()).toEqual([]);
  usage.refusals = 1;
  expect(troubles.current()).toEqual(['store-full']);
  now = 9 * 60_000;
  usage.refusals = 5;
  expect(troubles.current()).toEqual(['store-full']);
  now += 9 * 60_000;
  expect(troubles.current()).toEqual(['store-full']);
  now += 2 * 60_000;
  expect(troubles.current()).toEqual([]);
});
