import fs from 'node:fs';
import { vi } from 'vitest';

/**
 * Stands in for a disk that fails: the operation's calls end with EIO until it is disposed of. A real one cannot be had
 * without a device of one's own.
 * @param path only calls on this file's descriptors
 */
export function failingDisk(
  operation: 'open' | 'fstat' | 'read',
  path?: string,
): { readonly failures: number } & Disposable {
  const inode = path === undefined ? undefined : fs.statSync(path).ino;
  const state = { failures: 0 };
  const real = fs[operation] as (...args: unknown[]) => void;
  const spy = vi.spyOn(fs, operation).mockImplementation(((...args: unknown[]): void => {
    if (inode !== undefined && fs.fstatSync(args[0] as number).ino !== inode) return real(...args);
    state.failures += 1;
    const done = args.at(-1) as (error: Error) => void;
    done(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }));
  }) as never);
  return {
    get failures() {
      return state.failures;
    },
    [Symbol.dispose]: () => spy.mockRestore(),
  };
}
