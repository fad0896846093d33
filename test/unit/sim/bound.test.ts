import { expect, test } from 'vitest';
import { lowerBound, ownBound } from '../../../sim/bound.ts';
import type { Scenario } from '../../../sim/scenario.ts';

const BASE: Scenario = {
  name: 'bound',
  agents: Array.from({ length: 8 }, () => ({ up: 10, down: 10 })),
  origins: [{ up: 10, down: 10 }],
  blobs: [100],
  pulls: Array.from({ length: 8 }, (_, agent) => ({ agent, blob: 0, at: 0 })),
  holders: [],
  upstream: 10,
  failures: [],
  per: 'image',
  scale: 1,
  blockLength: 16_384,
  maxPeers: 40,
  grainMs: 0,
  rttMs: { near: 0, far: 0 },
  limit: 1,
};
const FIRST = (): number => 0;

test('with equal links nobody can be done before the blob has crossed one', () => {
  expect(lowerBound(BASE, FIRST)).toBe(10);
});

test('a slow source, a slow upstream, a slow receiver and slow uploads each hold all up', () => {
  expect(lowerBound({ ...BASE, origins: [{ up: 5, down: 10 }] }, FIRST)).toBe(20);
  expect(lowerBound({ ...BASE, coldFrom: 4 }, FIRST)).toBe(25);
  expect(lowerBound({ ...BASE, agents: [...BASE.agents.slice(1), { up: 10, down: 2 }] }, FIRST)).toBe(50);
  expect(lowerBound({ ...BASE, agents: BASE.agents.map(() => ({ up: 1, down: 10 })) }, FIRST)).toBeCloseTo(
    800 / 18,
  );
});

test('each zone has the blob over its link once', () => {
  expect(lowerBound({ ...BASE, zones: { count: 2, link: 2 } }, FIRST)).toBe(50);
});

test('two blobs with an owner each leave their owners side by side', () => {
  const pulls = BASE.pulls.flatMap((pull) => [pull, { ...pull, blob: 1 }]);
  const two = { ...BASE, blobs: [100, 100], pulls, origins: [...BASE.origins, ...BASE.origins] };
  expect(lowerBound({ ...two, agents: two.agents.map(() => ({ up: 100, down: 100 })) }, (blob) => blob)).toBe(
    10,
  );
  expect(lowerBound({ ...two, agents: two.agents.map(() => ({ up: 100, down: 100 })) }, FIRST)).toBe(20);
});

test('an agent that starts later has its own time, with pauses between its pulls not counted twice', () => {
  const pulls = [
    { agent: 0, blob: 0, at: 100 },
    { agent: 0, blob: 0, at: 104 },
    { agent: 0, blob: 0, at: 150 },
  ];
  expect(ownBound(BASE, pulls)).toBe(60);
});
