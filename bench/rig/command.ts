import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Runs a short system command and returns what it printed. @throws Error with the command and its own message. */
export async function command(program: string, ...args: string[]): Promise<string> {
  try {
    const { stdout } = await execute(program, args, { encoding: 'utf8' });
    return stdout;
  } catch (error) {
    const said =
      error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error).trim();
    throw new Error(`${[program, ...args].join(' ')}: ${said}`, { cause: error });
  }
}
