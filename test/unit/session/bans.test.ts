import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { offenderOf } from '#swarm/session/offender.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { honestly, RawPeer } from './raw-peer.ts';
import { pieceOf, readAll, SwarmFixture } from './swarm-fixture.ts';

const PIECE = 256 * 1024;
const PIECES = 4;
const blob = deterministicBytes('bans', PIECES * PIECE);
const request = { digest: digestOf(blob), scope: 'registry.example', size: blob.length };
const pieces = Array.from({ length: PIECES }, (_, index) => pieceOf(blob, index));

/** An address of this machine that is not loopback, as another host's would look; undefined without a network. */
const address = Object.values(networkInterfaces())
  .flatMap((found) => found ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address;

/** An agent that wants the blob, knows its hashes, and is called at `host`; then a liar, which is banned. */
async function startWithLiar(stack: AsyncDisposableStack, host: string) {
  const fixture = stack.use(await SwarmFixture.start());
  const { swarm } = await fixture.member('agent', { host: '0.0.0.0' });
  const torrent = await swarm.engine.torrent(request);
  torrent.batches.add(fixture.sign(request.digest, request.scope, blob.length, pieces));
  const connect = async (options: ConstructorParameters<typeof RawPeer>[0]): Promise<RawPeer> => {
    const peer = stack.use(await RawPeer.connect(swarm.port, torrent.swarmId, { ...options, host }));
    if (!peer.isClosed) peer.offer(PIECES);
    return peer;
  };
  const liar = await connect({ answer: ({ length }) => randomBytes(length) });
  const pull = readAll(torrent, AbortSignal.timeout(15_000));
  pull.catch(() => {});
  await liar.closed;
  return { torrent, pull, connect };
}

describe('a peer that sent a bad piece', () => {
  it.skipIf(address === undefined)('does not come back under another peer id', async () => {
    await using stack = new AsyncDisposableStack();
    const { torrent, connect } = await startWithLiar(stack, address!);
    const again = await connect({ answer: honestly(blob) });
    await again.closed;
    expect(torrent.connections.size).toBe(0);
    expect(torrent.sources.peer).toBe(0);
  });

  it('on loopback does not take the other processes of the machine with it', async () => {
    await using stack = new AsyncDisposableStack();
    const { pull, connect } = await startWithLiar(stack, '127.0.0.1');
    await connect({ answer: honestly(blob) });
    expect(await pull).toBe(request.digest);
  });
});

it.each([
  ['10.1.2.3', '10.1.2.3'],
  ['::ffff:10.1.2.3', '10.1.2.3'],
  ['fd00::7', 'fd00::7'],
  ['127.0.0.6', 'its-id'],
  ['::ffff:127.0.0.1', 'its-id'],
  ['::1', 'its-id'],
])('wrongs of a peer at %s are counted against %s', (from, offender) => {
  expect(offenderOf('its-id', from)).toBe(offender);
});
