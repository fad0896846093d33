/** Runs a decoder: its value, or the error that it threw. */
export function outcome<T>(
  decode: () => T,
): { value: T; error?: undefined } | { value?: undefined; error: unknown } {
  try {
    return { value: decode() };
  } catch (error) {
    return { error };
  }
}

/** True for success and for the decoder's own error; anything else is a defect. */
export function succeedsOrThrows(decode: () => unknown, own: new (...parts: never[]) => Error): boolean {
  const { error } = outcome(decode);
  return error === undefined || error instanceof own;
}
