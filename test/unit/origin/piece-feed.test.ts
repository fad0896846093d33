import { expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { BATCH_MS, LAST_BATCH_MS, LAST_PIECES } from '#origin/defaults.ts';
import { HashSigner } from '#origin/hash-signer.ts';
import { PieceFeed } from '#origin/piece-feed.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { SwarmFixture } from '../session/swarm-fixture.ts';

const PIECE = 256 * 1024;
const PIECES = 60;

test('what comes within a tenth of a second is signed together, the first piece and the last ones as soon as may be', async () => {
  await using fixture = await SwarmFixture.start();
  const { swarm } = await fixture.member('origin');
  const blob = deterministicBytes('fed', PIECES * PIECE);
  const torrent = await swarm.engine.torrent({
    digest: digestOf(blob),
    scope: 'registry.example',
    size: blob.length,
  });
  let now = 0;
  let signed = 0;
  const signer = new HashSigner({ key: fixture.signer, events: { signed: () => void signed++ } });
  using feed = new PieceFeed({ torrent, signer, now: () => now, onSupplied: () => undefined }, 0);
  const batches: number[] = [];
  for (let index = 0; index < PIECES; index++) {
    feed.push(blob.subarray(index * PIECE, (index + 1) * PIECE));
    if (signed > batches.length) batches.push(index);
    now += LAST_BATCH_MS;
  }
  const last = PIECES - LAST_PIECES;
  const perBatch = BATCH_MS / LAST_BATCH_MS;
  const early = batches.filter((index) => index < last);
  expect(early).toEqual(Array.from({ length: early.length }, (_, at) => at * perBatch));
  expect(early.at(-1)).toBeGreaterThanOrEqual(last - perBatch);
  expect(batches.slice(early.length)).toEqual(Array.from({ length: LAST_PIECES }, (_, at) => last + at));
  feed.flush();
  await torrent.whenComplete(AbortSignal.timeout(30_000));
});
