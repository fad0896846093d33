import { readFileSync } from 'node:fs';

import type { Logger } from './logger.ts';

/** Something made of a few small files, and made anew when they change. */
export interface FileBacked<T> {
  readonly current: T;
  /** Hears of each new one. Returns how to stop that. */
  onChange(listener: (value: T) => void): () => void;
}

export interface FollowOptions {
  /** Ends the following. */
  readonly signal: AbortSignal;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  /** Milliseconds between two looks. Default 5000. */
  readonly everyMs?: number;
}

/** Files are looked at, not watched: a mounted Secret changes by a link that is moved, which watches miss. */
const EVERY_MS = 5000;

/**
 * Reads the files at once, and with `follow` again and again. What cannot be read or made while they change is logged,
 * and the last good one stays.
 * @param make of the files' texts, in order
 * @throws what a file that cannot be read, or `make`, throws at first
 */
export function backedByFiles<T>(
  paths: readonly string[],
  make: (texts: readonly string[]) => T,
  follow?: FollowOptions,
): FileBacked<T> {
  const read = (): string[] => paths.map((path) => readFileSync(path, 'utf8'));
  const listeners = new Set<(value: T) => void>();
  let texts = read();
  let current = make(texts);
  const look = ({ logger }: FollowOptions): void => {
    try {
      const now = read();
      if (now.every((text, at) => text === texts[at])) return;
      texts = now;
      current = make(now);
      for (const listener of listeners) listener(current);
      logger.info({ files: paths }, 'identity read again');
    } catch (error) {
      logger.warn({ err: error, files: paths }, 'the changed identity cannot be used: the last one stays');
    }
  };
  if (follow !== undefined) {
    const timer = setInterval(() => look(follow), follow.everyMs ?? EVERY_MS).unref();
    follow.signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }
  return {
    get current() {
      return current;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
