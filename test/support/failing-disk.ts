import fs from 'node:fs';

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
  const real: unknown = Reflect.get(fs, operation);
  let failures = 0;
  Reflect.set(fs, operation, (...args: unknown[]): void => {
    const [fd] = args;
    const isOther = inode !== undefined && typeof fd === 'number' && fs.fstatSync(fd).ino !== inode;
    if (isOther && isCallable(real)) return real(...args);
    failures += 1;
    const done = args.at(-1);
    if (isCallable(done)) done(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }));
  });
  return {
    get failures() {
      return failures;
    },
    [Symbol.dispose]: () => void Reflect.set(fs, operation, real),
  };
}

function isCallable(value: unknown): value is (...args: unknown[]) => void {
  return typeof value === 'function';
}
