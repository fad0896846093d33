import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { describeError } from '#registry/redact.ts';

/** A program that the build runs failed; the message has its last lines. */
class CommandError extends Error {
  override readonly name = 'CommandError';
}

const run = promisify(execFile);
const OUTPUT_LIMIT = 64 * 1024 * 1024;
const SHOWN_CHARACTERS = 2000;

/** @returns what it wrote to its standard output. @throws CommandError */
export async function command(
  program: string,
  args: readonly string[],
  { cwd, signal }: { cwd?: string; signal?: AbortSignal } = {},
): Promise<string> {
  try {
    const options = { maxBuffer: OUTPUT_LIMIT, ...(cwd !== undefined && { cwd }), ...(signal && { signal }) };
    const { stdout } = await run(program, args, options);
    return stdout;
  } catch (cause) {
    const told = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : '';
    const why = told === '' ? describeError(cause) : told;
    throw new CommandError(`${program} ${args.slice(-4).join(' ')} failed: ${why.slice(-SHOWN_CHARACTERS)}`, {
      cause,
    });
  }
}
