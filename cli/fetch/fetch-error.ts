/** What was asked for cannot be fetched, or what came is not what was asked for. */
export class FetchError extends Error {
  override readonly name = 'FetchError';
}
