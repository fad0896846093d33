import { expect, it } from 'vitest';
import type { Block } from '#swarm/core/piece-table.ts';
import { takeRarest } from '#swarm/core/upload-queue.ts';

function blockOf(index: number, offset = 0): Block {
  return { index, offset, length: 16_384 };
}

it('sends the piece that the fewest have first, and of equals what was asked for first', () => {
  const availability = Uint16Array.of(3, 1, 2, 1);
  const queue = [blockOf(0), blockOf(3), blockOf(1), blockOf(3, 16_384), blockOf(2)];
  const sent: Block[] = [];
  while (queue.length > 0) sent.push(takeRarest(queue, availability));
  expect(sent).toEqual([blockOf(3), blockOf(1), blockOf(3, 16_384), blockOf(2), blockOf(0)]);
});

it('takes a request for a piece that does not exist at once, so that it is refused', () => {
  const queue = [blockOf(0), blockOf(99)];
  expect(takeRarest(queue, Uint16Array.of(1))).toEqual(blockOf(99));
  expect(queue).toEqual([blockOf(0)]);
});
