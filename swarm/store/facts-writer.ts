import path from 'node:path';
import type { Background } from './background.ts';
import type { BlobEntry, BlobTable } from './blob-table.ts';
import { FACTS_DELAY_MS } from './constants.ts';
import { replaceFile } from './durable-files.ts';
import { encodeFacts } from './facts.ts';
import { FACTS_FILE, type Layout } from './layout.ts';
import type { KeyedLimiter } from './limiter.ts';
import type { StoreLogger } from './store-logger.ts';

export interface FactsWriterParts {
  readonly layout: Layout;
  readonly background: Background;
  readonly directories: KeyedLimiter<string>;
  readonly logger: StoreLogger;
  readonly table: BlobTable;
}

/** Brings changed facts to disk, those of a while together: a pull teaches the same blob several. */
export class FactsWriter {
  readonly #parts: FactsWriterParts;
  readonly #changed = new Set<BlobEntry>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: FactsWriterParts) {
    this.#parts = parts;
  }

  schedule(entry: BlobEntry): void {
    this.#changed.add(entry);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#parts.background.start('writing facts', () => this.#flush());
    }, FACTS_DELAY_MS);
  }

  async #flush(): Promise<void> {
    for (const entry of this.#changed) {
      this.#changed.delete(entry);
      await this.#write(entry);
    }
  }

  async #write(entry: BlobEntry): Promise<void> {
    const { directories, layout, logger, table } = this.#parts;
    try {
      await directories.run(entry.digest, async () => {
        // A blob may have gone and come again since: then its facts were written with it.
        if (!table.holds(entry)) return;
        const file = path.join(layout.blob(entry.digest), FACTS_FILE);
        const text = encodeFacts(entry.size, entry.facts);
        await replaceFile(file, text);
      });
    } catch (error) {
      logger.warn({ err: error, digest: entry.digest }, 'facts are kept in memory only');
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#flush();
  }
}
