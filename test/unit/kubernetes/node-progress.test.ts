import { expect, test } from 'vitest';

import { NodeProgress } from '#kubernetes/preheat/node-progress.ts';

test('a node is warm when it holds every image, and has failed while an image’s last attempt did', () => {
  const node = new NodeProgress(['a', 'b']);
  node.took('a', { state: 'warm' });
  node.took('b', { state: 'failed', reason: 'denied' });
  expect(node).toMatchObject({ isWarm: false, hasFailed: true, missing: ['b'] });
  expect(node.faultOf('b')).toBe('denied');
  node.took('b', { state: 'fetching' });
  expect(node.hasFailed).toBe(true);
  node.took('b', { state: 'warm' });
  expect(node).toMatchObject({ isWarm: true, hasFailed: false, missing: [] });
});

test('a node that cannot be asked is left alone for longer and longer, until it answers', () => {
  const node = new NodeProgress(['a']);
  let now = 0;
  for (const wait of [2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]) {
    node.lost('no route to host');
    node.pause(now, () => 1);
    expect(node.isDue(now + wait - 1)).toBe(false);
    expect(node.isDue((now += wait))).toBe(true);
  }
  node.took('a', { state: 'fetching' });
  node.pause(now, () => 0);
  expect(node.isDue(now + 999)).toBe(false);
  expect(node.isDue(now + 1000)).toBe(true);
});

test('a node that is being asked, or holds everything, is not due', () => {
  const node = new NodeProgress(['a']);
  expect(node.isDue(0)).toBe(true);
  node.busy = true;
  expect(node.isDue(0)).toBe(false);
  node.busy = false;
  node.took('a', { state: 'warm' });
  expect(node.isDue(0)).toBe(false);
});
