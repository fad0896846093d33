import { afterEach, expect, test, vi } from 'vitest';
import { loopRest } from '#swarm/wire/loop-rest.ts';
import { connectedPair } from './fixture.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

test('handshakes keep the loop awake; blocks are counted where they are sent and where they come', async () => {
  const keepAwake = vi.spyOn(loopRest, 'keepAwake');
  const letRest = vi.spyOn(loopRest, 'letRest');
  const received = vi.spyOn(loopRest, 'received');
  const sent = vi.spyOn(loopRest, 'sent');
  await using stack = new AsyncDisposableStack();
  const { dialer, listener } = await connectedPair(stack);
  await dialer.handler.until('extended');
  expect(keepAwake).toHaveBeenCalledTimes(2);
  await vi.waitFor(() => expect(letRest).toHaveBeenCalledTimes(2));
  const block = { index: 0, offset: 0, length: 16_384 };
  sent.mockClear();
  received.mockClear();
  dialer.handler.targets.set('0/0', Buffer.alloc(block.length));
  dialer.wire.request(block);
  await listener.handler.until('request');
  listener.wire.piece(block, Buffer.alloc(block.length));
  await dialer.handler.until('block');
  expect(sent.mock.calls).toEqual([[block.length]]);
  const bytes = received.mock.calls.reduce((sum, [count]) => sum + count, 0);
  expect(bytes).toBeGreaterThan(block.length);
});
