/** What was thrown, as an Error: only foreign code throws anything else. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}

/** Causes that are looked at: what caused itself would have no end. */
const MAX_CAUSES = 8;

/** An error and those that caused it, itself first; nothing of what is no Error. */
export function* causesOf(error: unknown): Generator<Error> {
  for (
    let cause = error, depth = 0;
    cause instanceof Error && depth < MAX_CAUSES;
    cause = cause.cause, depth += 1
  )
    yield cause;
}

/** Its `code`, as Node's own errors have one; empty where it has none. */
export function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}
