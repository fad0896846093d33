import { expect, test } from 'vitest';
import { HashSigner } from '#origin/hash-signer.ts';
import { Reading } from '#origin/reading.ts';
import { WaitingCallers } from '#origin/waiting-callers.ts';
import { digestOf } from '#registry/digest.ts';
import { Bandwidth } from '#swarm/session/bandwidth.ts';
import { MAX_UNWRITTEN_BYTES } from '#swarm/session/defaults.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { stuckDisk, SwarmFixture } from '../session/swarm-fixture.ts';

const PIECE = 256 * 1024;
const now = (): number => performance.now();
const CALLER = { registry: 'registry.example', repository: 'team/app', positive: true };

test('a read from a registry pauses while the disk is behind, and goes on to the end', async () => {
  await using fixture = await SwarmFixture.start();
  const disk = stuckDisk();
  const { swarm } = await fixture.member('origin', { writeAt: disk.writeAt });
  const blob = deterministicBytes('read', MAX_UNWRITTEN_BYTES + 40 * PIECE);
  const digest = digestOf(blob);
  const torrent = await swarm.engine.torrent({ digest, scope: CALLER.registry, size: blob.length });
  let read = 0;
  using bandwidth = new Bandwidth(undefined, now);
  const reading = new Reading({
    torrent,
    callers: new WaitingCallers(CALLER),
    reader: {
      async *read(start, end) {
        for (read = start; read < end; read += PIECE) yield blob.subarray(read, read + PIECE);
      },
    },
    signer: new HashSigner({ key: fixture.signer, events: { signed: () => undefined } }),
    bandwidth,
    now,
  });
  const done = reading.run(undefined, false, AbortSignal.timeout(15_000));
  await expect.poll(() => torrent.pieces.storage.isBehind, { timeout: 5_000 }).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, 200));
  // What waits for its signature comes on top.
  expect(read).toBeLessThan(MAX_UNWRITTEN_BYTES + 32 * PIECE);
  disk.goOn();
  await done;
  expect(torrent.complete).toBe(true);
  torrent.release();
});
