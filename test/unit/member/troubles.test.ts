import { expect, test } from 'vitest';

import { currentTroubles, risenLately } from '#swarm/member/troubles.ts';

test('a store that had no room is trouble for ten minutes after the last time', () => {
  let refusals = 0;
  let now = 0;
  const isFull = risenLately(
    () => refusals,
    () => now,
  );
  const troubles = (): string[] => currentTroubles([['store-full', isFull]]);
  expect(troubles()).toEqual([]);
  refusals = 1;
  expect(troubles()).toEqual(['store-full']);
  now = 9 * 60_000;
  refusals = 5;
  expect(troubles()).toEqual(['store-full']);
  now += 9 * 60_000;
  expect(troubles()).toEqual(['store-full']);
  now += 2 * 60_000;
  expect(troubles()).toEqual([]);
});

test('each trouble is told while it is there', () => {
  let isMirrored = false;
  const troubles = (): string[] =>
    currentTroubles([
      ['mirror-missing', () => !isMirrored],
      ['upstream-denies', () => true],
    ]);
  expect(troubles()).toEqual(['mirror-missing', 'upstream-denies']);
  isMirrored = true;
  expect(troubles()).toEqual(['upstream-denies']);
});
