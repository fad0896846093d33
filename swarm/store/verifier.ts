import { digestHash, digestHex, type Digest } from '#registry/digest.ts';
import { abortable } from './abortable.ts';
import { VERIFY_CHUNK_BYTES } from './constants.ts';
import type { DataFile } from './data-file.ts';
import { BlobDamagedError, StoreError } from './errors.ts';
import { Limiter } from './limiter.ts';

/** Verifications that run at once: more would only take the disk from those who stream from it. */
const WIDTH = 2;

interface Run {
  readonly result: Promise<boolean>;
  readonly controller: AbortController;
  waiters: number;
}

/** Hashes blobs again; who asks for the same one shares the run, and a run that nobody waits for stops. */
export class Verifier {
  readonly #runs = new Map<Digest, Run>();
  readonly #limiter = new Limiter(WIDTH);
  #stopped = false;

  /** True when the file holds `size` bytes of that digest. Rejects with the signal's reason, or when the file cannot be read now. */
  async verify(digest: Digest, size: number, file: DataFile, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted();
    if (this.#stopped) throw new StoreError('the store is closed');
    const run = this.#runs.get(digest) ?? this.#start(digest, size, file);
    run.waiters += 1;
    try {
      return await abortable(run.result, signal);
    } finally {
      run.waiters -= 1;
      if (run.waiters === 0) this.#end(digest, run);
    }
  }

  /** Stops all runs, for good; those who wait are rejected. */
  stop(): void {
    this.#stopped = true;
    for (const [digest, run] of this.#runs) this.#end(digest, run);
  }

  #start(digest: Digest, size: number, file: DataFile): Run {
    const controller = new AbortController();
    const result = this.#limiter.run(() => matches(digest, size, file, controller.signal));
    // Whoever waits sees the failure; when all have left, nobody needs it.
    result.catch(() => {});
    const run = { result, controller, waiters: 0 };
    this.#runs.set(digest, run);
    return run;
  }

  #end(digest: Digest, run: Run): void {
    run.controller.abort();
    if (this.#runs.get(digest) === run) this.#runs.delete(digest);
  }
}

async function matches(digest: Digest, size: number, file: DataFile, signal: AbortSignal): Promise<boolean> {
  const hash = digestHash(digest);
  const chunk = Buffer.alloc(Math.min(size, VERIFY_CHUNK_BYTES));
  try {
    for (let position = 0; position < size;) {
      signal.throwIfAborted();
      const part = chunk.subarray(0, Math.min(chunk.byteLength, size - position));
      await file.read(position, part);
      hash.update(part);
      position += part.byteLength;
    }
  } catch (error) {
    if (error instanceof BlobDamagedError) return false;
    throw error;
  }
  return hash.digest('hex') === digestHex(digest);
}
