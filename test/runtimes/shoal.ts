import { fileURLToPath } from 'node:url';
import { run, type RunOptions } from './program.ts';

const SHOAL = fileURLToPath(new URL('../../cli/shoal.ts', import.meta.url));

/** Runs a `shoal` command that ends by itself; gives its standard output. */
export function shoal(args: readonly string[], options: RunOptions = {}): Promise<string> {
  return run([process.execPath, SHOAL, ...args], options);
}
