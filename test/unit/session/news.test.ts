import { describe, expect, it } from 'vitest';
import { MAX_NEWS } from '#swarm/session/peer-session.ts';
import type { RecordingHandler } from '../wire/fixture.ts';
import { recordedSession as session } from './recorded-session.ts';

const block = (index: number) => ({ index, offset: 0, length: 16_384 });

const told = ({ events }: RecordingHandler): unknown[][] =>
  events.filter(([name]) => name === 'have' || name === 'request').map(([name, what]) => [name, what]);

describe('a peer', () => {
  it('hears of a rare piece at once, with what it was not told of before', async () => {
    await using stack = new AsyncDisposableStack();
    const { peer, heard } = await session(stack);
    peer.tell(3, false);
    peer.tell(1, true);
    await heard.until('have');
    expect(told(heard)).toEqual([
      ['have', 3],
      ['have', 1],
    ]);
  });

  it('hears of other pieces in front of the next message to it', async () => {
    await using stack = new AsyncDisposableStack();
    const { peer, heard } = await session(stack);
    peer.tell(5, false);
    peer.request(block(9));
    await heard.until('request');
    expect(told(heard)).toEqual([
      ['have', 5],
      ['request', block(9)],
    ]);
  });

  it('hears of many pieces without another message', async () => {
    await using stack = new AsyncDisposableStack();
    const { peer, heard } = await session(stack);
    for (let index = 0; index < MAX_NEWS; index++) peer.tell(index, false);
    await heard.until('have');
    expect(heard.count('have')).toBe(MAX_NEWS);
  });

  it.each([
    ['agent', []],
    ['origin', [['have', 7]]],
  ] as const)('that got the piece meanwhile hears of it if it is an origin (%s)', async (role, expected) => {
    await using stack = new AsyncDisposableStack();
    const { peer, heard } = await session(stack, role);
    peer.tell(7, false);
    peer.pieces.add(7);
    peer.request(block(0));
    await heard.until('request');
    expect(told(heard)).toEqual([...expected, ['request', block(0)]]);
  });
});
