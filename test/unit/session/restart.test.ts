import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { pieceOf, readAll, SwarmFixture } from './swarm-fixture.ts';

const PIECE = 256 * 1024;
const scope = 'registry.example';
const deadline = (): AbortSignal => AbortSignal.timeout(15_000);

/** Runs an agent's swarm in a process of its own and kills it once it has taken in so many pieces; how many it had. */
async function runKilled(args: string[], pieces: number): Promise<number> {
  const child = spawn(process.execPath, [new URL('killed-agent.ts', import.meta.url).pathname, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  let taken = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    taken = Number(line);
    if (taken === pieces) child.kill('SIGKILL');
  }
  const [, signal] = await exited;
  expect(signal).toBe('SIGKILL');
  return taken;
}

describe('an agent that is started again', () => {
  it('after kill -9 has nearly all the pieces that it had, and fetches only the others', async () => {
    await using fixture = await SwarmFixture.start();
    await using directory = await temporaryDirectory('killed');
    const count = 160;
    const blob = deterministicBytes('killed', count * PIECE);
    const request = { digest: digestOf(blob), scope, size: blob.length };
    const pieces = Array.from({ length: count }, (_, index) => pieceOf(blob, index));
    const batch = directory.join('batch');
    await writeFile(batch, fixture.sign(request.digest, scope, blob.length, pieces));
    const key = Buffer.from(fixture.signer.publicKey).toString('base64');
    const taken = await runKilled([directory.join('store'), String(count), key, batch], 120);
    const agent = await fixture.member('agent', { directory: directory.join('store') });
    const origin = await fixture.member('origin');
    fixture.feed(await origin.swarm.engine.torrent(request), blob);
    const torrent = await agent.swarm.engine.torrent(request);
    torrent.addPeer({ host: '127.0.0.1', port: origin.swarm.port, role: 'origin' });
    // Looked at while others already pull: a large half-done blob keeps nobody waiting.
    expect(torrent.pieces.table.held.count).toBeLessThan(0.5 * taken);
    // What a reader waits for comes first, wherever it lies.
    const at = 100 * PIECE;
    const first = await torrent.read(at, at + PIECE, deadline()).next();
    expect(first.value).toEqual(pieces[100]);
    expect(torrent.pieces.table.held.count).toBeLessThan(0.5 * taken);
    await torrent.resumed;
    const kept = torrent.sources.cache / PIECE;
    expect(kept).toBeGreaterThanOrEqual(0.95 * taken);
    expect(await readAll(torrent, deadline())).toBe(request.digest);
    expect(torrent.sources.origin + torrent.sources.peer).toBe((count - kept) * PIECE);
    await agent[Symbol.asyncDispose]();
  });

  it('fetches no piece before it has looked for it on disk, however slow that is', async () => {
    await using fixture = await SwarmFixture.start();
    const blob = deterministicBytes('slow disk', 8 * PIECE);
    const request = { digest: digestOf(blob), scope, size: blob.length };
    const origin = await fixture.member('origin');
    const seeding = await origin.swarm.engine.torrent(request);
    fixture.feed(seeding, blob, 0, 6);
    const before = await fixture.member('agent');
    const first = await before.swarm.engine.torrent(request);
    await expect.poll(() => first.pieces.table.held.count).toBe(6);
    await before[Symbol.asyncDispose]();
    const after = await fixture.member('agent', { directory: before.path });
    const again = await after.swarm.engine.torrent(request);
    const { storage } = again.pieces;
    const disk = Promise.withResolvers<void>();
    const readPiece = storage.readPiece.bind(storage);
    vi.spyOn(storage, 'readPiece').mockImplementation(async (index) => {
      await disk.promise;
      return readPiece(index);
    });
    again.addPeer({ host: '127.0.0.1', port: origin.swarm.port, role: 'origin' });
    await expect.poll(() => again.connections.size).toBe(1);
    await sleep(500);
    expect(again.sources.origin).toBe(0);
    expect(again.missing(0, Infinity)?.first).not.toBe(1);
    disk.resolve();
    fixture.feed(seeding, blob, 6);
    expect(await readAll(again, deadline())).toBe(request.digest);
    expect(again.sources).toMatchObject({ cache: 6 * PIECE, origin: 2 * PIECE });
  });

  it('seeds what it had whole to those who come then, with the hashes that the origin signed', async () => {
    await using fixture = await SwarmFixture.start();
    const blob = deterministicBytes('seeded again', 6 * PIECE - 9);
    const request = { digest: digestOf(blob), scope, size: blob.length };
    const before = await fixture.member('agent');
    const torrent = await before.swarm.engine.torrent(request);
    fixture.feed(torrent, blob);
    await torrent.whenComplete(deadline());
    await before[Symbol.asyncDispose]();
    const after = await fixture.member('agent', { directory: before.path });
    expect(after.swarm.engine.status).toMatchObject({ seeded: 1, torrents: 0 });
    const late = await fixture.member('agent');
    const leeching = await late.swarm.engine.torrent(request);
    expect(await readAll(leeching, deadline())).toBe(request.digest);
    expect(leeching.sources).toMatchObject({ peer: blob.length, upstream: 0 });
    expect(after.counts.sent).toBe(blob.length);
  });

  it('fetches anew what lies damaged on its disk, and passes none of it on', async () => {
    await using fixture = await SwarmFixture.start();
    const blob = deterministicBytes('damaged', 6 * PIECE);
    const request = { digest: digestOf(blob), scope, size: blob.length };
    const origin = await fixture.member('origin');
    const seeding = await origin.swarm.engine.torrent(request);
    fixture.feed(seeding, blob, 0, 5);
    const damaged = fixture.damage(1_000_000);
    const before = await fixture.member('agent', { writeAt: damaged });
    const first = await before.swarm.engine.torrent(request);
    await expect.poll(() => first.pieces.table.held.count).toBe(5);
    await before[Symbol.asyncDispose]();
    const after = await fixture.member('agent', { directory: before.path });
    const again = await after.swarm.engine.torrent(request);
    await again.resumed;
    expect([...again.pieces.table.held]).toEqual([0, 1, 2, 4]);
    fixture.feed(seeding, blob, 5);
    expect(await readAll(again, deadline())).toBe(request.digest);
  });
});
