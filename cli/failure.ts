import { CommanderError, InvalidArgumentError } from 'commander';
import { constants } from 'node:os';

import { describeError } from '#registry/redact.ts';
import { ReferenceError } from '#registry/reference.ts';

/** What the caller typed cannot be meant. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The caller has ended it by a signal. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super('interrupted');
    this.signal = signal;
  }
}

/** A reference or a registry is what somebody typed. */
const WRONG_USAGE = [UsageError, InvalidArgumentError, ReferenceError];

const MESSAGE_LIMIT = 1000;
const FAILED = 1;
const USAGE = 2;
/** As shells tell it. */
const SIGNALLED = 128;

/**
 * Tells an error in one sentence, without a stack unless `debug`.
 * @returns the exit code: 2 for wrong usage, 128 and the signal's number (130 for Ctrl-C) where a signal ended it, else 1; 0
 * where commander has shown help or version.
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
  if (error instanceof InterruptedError) return SIGNALLED + constants.signals[error.signal];
  return WRONG_USAGE.some((type) => error instanceof type) ? USAGE : FAILED;
}
