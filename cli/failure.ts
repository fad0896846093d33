import { CommanderError, InvalidArgumentError } from 'commander';

import { describeError } from '#registry/redact.ts';
import { ReferenceError } from '#registry/reference.ts';

/** What the caller typed cannot be meant. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** A reference or a registry is what somebody typed. */
const WRONG_USAGE = [UsageError, InvalidArgumentError, ReferenceError];

const MESSAGE_LIMIT = 1000;
const FAILED = 1;
const USAGE = 2;

/**
 * Tells an error in one sentence, without a stack unless `debug`.
 * @returns the exit code: 2 for wrong usage, else 1; 0 where commander has shown help or version.
 */
export function reportFailure(
  error: unknown,
  output: { write(text: string): unknown },
  debug: boolean,
): number {
  if (error instanceof CommanderError && !(error instanceof InvalidArgumentError))
    return error.exitCode === 0 ? 0 : USAGE; // commander has written its own message
  output.write(
    `shoal: ${debug && error instanceof Error ? error.stack : describeError(error, MESSAGE_LIMIT)}\n`,
  );
  return WRONG_USAGE.some((type) => error instanceof type) ? USAGE : FAILED;
}
