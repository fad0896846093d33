import { randomBytes } from 'node:crypto';
import { type FileHandle, open, readdir, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { setInterval } from 'node:timers/promises';
import type { Blob } from '../../bench/rig/content.ts';
import { errorCode } from '#swarm/store/errors.ts';

const CHUNK_BYTES = 2 ** 20;
/** Distance of the damaged places; every piece has one. */
const EVERY_BYTES = 128 * 1024;
const DAMAGE_BYTES = 64;
const REFILL_MS = 100;

/** Files with bytes of the blob, complete or partial. */
export async function storedFiles(store: string, { digest }: Blob): Promise<string[]> {
  const entries = await readdir(store, { recursive: true, withFileTypes: true });
  const name = digest.replace(':', '-');
  return entries
    .filter((entry) => entry.isFile() && entry.name === 'data' && entry.parentPath.includes(name))
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Bytes that are there are overwritten, in each piece; holes stay. */
export async function corrupt(path: string): Promise<void> {
  await using file = await open(path, 'r+');
  const { size } = await file.stat();
  const there = Buffer.alloc(DAMAGE_BYTES);
  for (let at = EVERY_BYTES / 2; at + DAMAGE_BYTES < size; at += EVERY_BYTES) {
    await file.read(there, 0, DAMAGE_BYTES, at);
    if (there.some((byte) => byte !== 0)) await file.write(randomBytes(DAMAGE_BYTES), 0, DAMAGE_BYTES, at);
  }
}

export async function truncateToHalf(path: string): Promise<void> {
  await using file = await open(path);
  await truncate(path, Math.floor((await file.stat()).size / 2));
}

export function remove(path: string): Promise<void> {
  return rm(path);
}

/**
 * Takes all the room that there is, and what becomes free, until it is told to give it back or the signal aborts. The file
 * is held open: once the disk is unmounted, its path is on the machine's own.
 */
export async function fillDisk(store: string, signal: AbortSignal): Promise<() => Promise<void>> {
  const path = join(store, 'filler');
  const stop = new AbortController();
  const over = AbortSignal.any([signal, stop.signal]);
  const file = await open(path, 'a');
  const filled = fill(file, over);
  const filling = keepFull(file, filled, over);
  // Whoever mends sees it.
  filling.catch(() => undefined);
  await filled;
  return async () => {
    stop.abort();
    await filling;
    await rm(path, { force: true });
  };
}

/** Closes the file at the end. */
async function keepFull(held: FileHandle, filled: Promise<void>, over: AbortSignal): Promise<void> {
  await using file = held;
  try {
    await filled;
    for await (const _ of setInterval(REFILL_MS, undefined, { signal: over })) await fill(file, over);
  } catch (error) {
    if (!over.aborted) throw error;
  }
}

async function fill(file: FileHandle, over: AbortSignal): Promise<void> {
  for (const chunk = Buffer.alloc(CHUNK_BYTES); !over.aborted;) {
    try {
      await file.appendFile(chunk);
    } catch (error) {
      if (errorCode(error) === 'ENOSPC') return;
      throw error;
    }
  }
}
