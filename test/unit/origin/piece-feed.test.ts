import { expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { HashSigner } from '#origin/hash-signer.ts';
import { PieceFeed } from '#origin/piece-feed.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { SwarmFixture } from '../session/swarm-fixture.ts';
import { until } from './origin-fixture.ts';

const PIECE = 256 * 1024;

/** An origin's feed, with a clock that is put forward by hand; what is signed is counted. */
class Fed implements AsyncDisposable {
  readonly #fixture: SwarmFixture;
  readonly #blob: Buffer;
  readonly torrent: Torrent;
  readonly feed: PieceFeed;
  now = 0;
  signed = 0;
  #over = false;

  private constructor(fixture: SwarmFixture, blob: Buffer, torrent: Torrent) {
    this.#fixture = fixture;
    this.#blob = blob;
    this.torrent = torrent;
    const signer = new HashSigner({ key: fixture.signer, events: { signed: () => void this.signed++ } });
    this.feed = new PieceFeed({ torrent, signer, now: () => this.now, onSupplied: () => undefined }, 0);
  }

  static async start(pieces: number): Promise<Fed> {
    const fixture = await SwarmFixture.start();
    const { swarm } = await fixture.member('origin');
    const blob = deterministicBytes('fed', pieces * PIECE);
    const { length: size } = blob;
    const torrent = await swarm.engine.torrent({ digest: digestOf(blob), scope: 'registry.example', size });
    return new Fed(fixture, blob, torrent);
  }

  /** Pieces one after the other, each so long after the one before; gives those that something was signed with. */
  push(first: number, end: number, everyMs: number): number[] {
    const signedWith: number[] = [];
    for (let index = first; index < end; index++) {
      const before = this.signed;
      this.feed.push(this.#blob.subarray(index * PIECE, (index + 1) * PIECE));
      if (this.signed > before) signedWith.push(index);
      this.now += everyMs;
    }
    return signedWith;
  }

  breakOff(): void {
    this.#over = true;
    this.feed[Symbol.dispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    if (!this.#over) this.breakOff();
    return this.#fixture[Symbol.asyncDispose]();
  }
}

const range = (first: number, end: number, step = 1): number[] =>
  Array.from({ length: Math.ceil((end - first) / step) }, (_, at) => first + at * step);

test('the longer a read goes on, the more pieces are signed together, but for the last ones', async () => {
  await using fed = await Fed.start(180);
  const signedWith = fed.push(0, 180, 20);
  const within = (first: number, end: number): number[] =>
    signedWith.filter((index) => index >= first && index < end);
  expect(within(0, 20)).toEqual(range(0, 20));
  const late = within(110, 164);
  expect(late).toEqual(range(late[0]!, 164, 5));
  expect(within(164, 180)).toEqual(range(164, 180));
  await fed.torrent.whenComplete(AbortSignal.timeout(30_000));
});

test('4 MiB do not wait for more', async () => {
  await using fed = await Fed.start(60);
  expect(fed.push(0, 60, 0)).toEqual([0, 16, 32, 48]);
});

test('what comes before a stall is signed during it', async () => {
  await using fed = await Fed.start(3);
  fed.push(0, 2, 0);
  expect(fed.signed).toBe(1);
  await until('the second is signed', () => fed.signed === 2);
});

test('a read that is broken off keeps what waited to be signed', async () => {
  await using fed = await Fed.start(3);
  fed.push(0, 2, 0);
  fed.breakOff();
  expect(fed.signed).toBe(2);
  expect(fed.torrent.pieces.shareable(1)).toBe(true);
});
