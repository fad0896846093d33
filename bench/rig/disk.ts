import { mkdir } from 'node:fs/promises';
import { command } from './command.ts';
import { guardMount } from './guard.ts';

/** A file system of its own and of this size, in memory, at a path that is made for it; disposing it takes it away. */
export async function mountDisk(path: string, bytes: number): Promise<AsyncDisposable> {
  await mkdir(path, { recursive: true });
  const guard = guardMount(path);
  try {
    await command('mount', '-t', 'tmpfs', '-o', `size=${bytes},mode=700`, 'tmpfs', path);
  } catch (error) {
    guard[Symbol.dispose]();
    throw error;
  }
  return {
    async [Symbol.asyncDispose]() {
      // Lazily: a process that is just ending may still have a file open there.
      await command('umount', '--lazy', path);
      guard[Symbol.dispose]();
    },
  };
}
