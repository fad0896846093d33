import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Background } from '#swarm/store/background.ts';
import { CompleteBlobs, type Installation } from '#swarm/store/complete-blobs.ts';
import { Layout } from '#swarm/store/layout.ts';
import { KeyedLimiter } from '#swarm/store/limiter.ts';
import { Room } from '#swarm/store/room.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { content, KIB } from './store-fixture.ts';

const { digest, bytes } = content('replaced', KIB);
const logger = { debug: () => {}, info: () => {}, warn: () => {} };

async function startBlobs(directory: string) {
  const layout = new Layout(directory);
  await layout.prepare();
  const none = { async *victims() {}, evictable: () => 0, crowded: () => false };
  const room = new Room(none, 10 * KIB);
  const background = new Background(logger);
  const directories = new KeyedLimiter<string>();
  const parts = { layout, room, background, directories, logger, now: () => 0, onGone: () => {} };
  const prepare = async (): Promise<Installation> => {
    const at = layout.nextTemporary();
    await mkdir(at);
    await writeFile(join(at, 'data'), bytes);
    room.charge(bytes.length);
    return { digest, size: bytes.length, directory: at, facts: {} };
  };
  return { blobs: new CompleteBlobs(parts), layout, room, background, directories, prepare };
}

test('a blob that takes the place of a damaged one does not leave the disk with it', async () => {
  await using directory = await temporaryDirectory('complete');
  const { blobs, layout, room, background, directories, prepare } = await startBlobs(directory.path);
  await blobs.install(await prepare());
  const damaged = await blobs.acquire(digest);
  const next = await prepare();
  const writing = Promise.withResolvers<void>();
  const written = directories.run(digest, () => writing.promise);
  const installed = blobs.install(next);
  await new Promise(setImmediate);
  damaged!.drop(new Error('damaged'));
  writing.resolve();
  expect(await installed).toBe(true);
  await Promise.all([written, damaged!.release()]);
  await background.settled();
  expect(existsSync(join(layout.blob(digest), 'data'))).toBe(true);
  expect(room.charged).toBe(bytes.length);
  const lease = await blobs.acquire(digest);
  expect(lease).toBeDefined();
  await lease!.release();
  await blobs.close();
});
