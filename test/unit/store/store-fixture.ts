import { digestOf, type Digest } from '#registry/digest.ts';
import { BlobStore, type StoreParts } from '#swarm/store/blob-store.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../../support/temporary-directory.ts';

export const KIB = 1024;
export const MIB = 1024 * KIB;

export interface Content {
  readonly bytes: Buffer;
  readonly digest: Digest;
}

export function content(seed: string | number, size: number): Content {
  const bytes = deterministicBytes(seed, size);
  return { bytes, digest: digestOf(bytes) };
}

/** A store in a directory of its own, with a clock that stands until it is set, and a record of what it says. */
export class StoreFixture implements AsyncDisposable {
  readonly directory: TemporaryDirectory;
  readonly quotaBytes: number;
  readonly evicted: Digest[] = [];
  readonly warnings: string[] = [];
  /** Milliseconds since 1970; moves only by hand. */
  time = 1_700_000_000_000;
  store!: BlobStore;
  #parts: Partial<StoreParts> = {};

  private constructor(directory: TemporaryDirectory, quotaBytes: number) {
    this.directory = directory;
    this.quotaBytes = quotaBytes;
  }

  static async open(
    quotaBytes = 64 * MIB,
    parts: Partial<StoreParts> = {},
    at?: string,
  ): Promise<StoreFixture> {
    const directory = at
      ? { path: at, join: () => at, [Symbol.asyncDispose]: async () => {} }
      : await temporaryDirectory('store');
    const fixture = new StoreFixture(directory, quotaBytes);
    await fixture.reopen(parts);
    return fixture;
  }

  /** Opens the same directory again, also without having closed it: as after a crash. */
  async reopen(parts: Partial<StoreParts> = this.#parts, quotaBytes = this.quotaBytes): Promise<BlobStore> {
    this.#parts = parts;
    this.store = await BlobStore.open(
      { directory: this.directory.path, quotaBytes },
      {
        now: () => this.time,
        onEvict: (digest) => this.evicted.push(digest),
        logger: {
          debug: () => {},
          info: () => {},
          warn: (_fields, message) => this.warnings.push(message),
        },
        writeDelayMs: 0,
        ...parts,
      },
    );
    return this.store;
  }

  /** Puts content of its own kind, a second after the last. */
  async put(seed: string | number, size: number): Promise<Content> {
    const made = content(seed, size);
    this.time += 1000;
    await (
      await this.store.put(made.digest, made.bytes, {})
    ).written;
    return made;
  }

  /** The path of a complete blob's file. */
  file(digest: Digest, name = 'data'): string {
    return `${this.directory.path}/v1/blobs/${digest.replace(':', '-')}/${name}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
    await this.directory[Symbol.asyncDispose]();
  }
}

/** The whole content of a stored blob; undefined when the store has none. */
export async function readAll(store: BlobStore, digest: Digest): Promise<Buffer | undefined> {
  await using blob = await store.open(digest);
  if (!blob) return undefined;
  const bytes = Buffer.alloc(blob.size);
  await blob.read(0, bytes);
  return bytes;
}
