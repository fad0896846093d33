import { lstat, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { blobEntry, type BlobEntry } from './blob-table.ts';
import { MAX_FACTS_BYTES, SCAN_WIDTH } from './constants.ts';
import { isMissing, StoreError } from './errors.ts';
import { decodeFacts, NO_FACTS } from './facts.ts';
import { allocatedBytes } from './data-file.ts';
import { DATA_FILE, digestOfName, FACTS_FILE, isPartialName, type Layout } from './layout.ts';
import { Limiter } from './limiter.ts';
import type { Suspects } from './stop-marker.ts';
import type { StoreLogger } from './store-logger.ts';

/** A half-done blob found on disk. */
export interface FoundPartial {
  readonly name: string;
  readonly bytes: number;
  readonly lastUse: number;
}

/** The complete blobs on disk, the least recently used first. What is none is removed with a log line. */
export async function scanBlobs(
  layout: Layout,
  suspects: Suspects,
  logger: StoreLogger,
): Promise<BlobEntry[]> {
  const found = await scan(layout.blobs, logger, (name) => readBlob(layout, name, suspects));
  return found.sort((a, b) => a.lastAccess - b.lastAccess);
}

/** The half-done blobs on disk, the least recently used first. What is none is removed with a log line. */
export async function scanPartials(layout: Layout, logger: StoreLogger): Promise<FoundPartial[]> {
  const found = await scan(layout.partials, logger, (name) => readPartial(layout, name));
  return found.sort((a, b) => a.lastUse - b.lastUse);
}

/** Reads each name of a directory; where that throws, the name is removed. */
async function scan<T>(
  directory: string,
  logger: StoreLogger,
  read: (name: string) => Promise<T>,
): Promise<T[]> {
  const limiter = new Limiter(SCAN_WIDTH);
  const found: T[] = [];
  const look = async (name: string): Promise<void> => {
    try {
      found.push(await read(name));
    } catch (error) {
      logger.warn({ err: error, name }, 'dropped from the store: not a sound blob');
      await rm(path.join(directory, name), { recursive: true, force: true }).catch((failure: unknown) => {
        logger.warn({ err: failure, name }, 'could not be removed from the store');
      });
    }
  };
  const names = await readdir(directory);
  await Promise.all(names.map((name) => limiter.run(() => look(name))));
  return found;
}

async function readBlob(layout: Layout, name: string, suspects: Suspects): Promise<BlobEntry> {
  const digest = digestOfName(name);
  if (!digest) throw new StoreError('the name is not that of a blob');
  const data = await statData(path.join(layout.blobs, name));
  const known = await readFacts(path.join(layout.blobs, name, FACTS_FILE));
  if (known && known.size !== data.size) {
    throw new StoreError(`the file has ${data.size} bytes where ${known.size} were stored`);
  }
  // Without its facts file not even the size is sure.
  const suspect = !known || suspects === 'all' || suspects.has(digest);
  return blobEntry(digest, data.size, known?.facts ?? NO_FACTS, data.mtimeMs, suspect);
}

async function readPartial(layout: Layout, name: string): Promise<FoundPartial> {
  if (!isPartialName(name)) throw new StoreError('the name is not that of a partial blob');
  const data = await statData(path.join(layout.partials, name));
  return { name, bytes: allocatedBytes(data), lastUse: data.mtimeMs };
}

async function statData(directory: string): Promise<{ size: number; blocks: number; mtimeMs: number }> {
  const holder = await lstat(directory);
  if (!holder.isDirectory()) throw new StoreError('not a directory');
  const data = await lstat(path.join(directory, DATA_FILE));
  if (!data.isFile()) throw new StoreError('the content is not a file');
  return data;
}

async function readFacts(file: string): Promise<ReturnType<typeof decodeFacts>> {
  try {
    const { size } = await lstat(file);
    return size > MAX_FACTS_BYTES ? undefined : decodeFacts(await readFile(file, 'utf8'));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
