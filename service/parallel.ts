/**
 * Does the work for each item, at most `limit` at one time. The first failure ends what runs, and all of it is waited for.
 * @param work gets a signal that is aborted with the caller's, or by another item's failure
 * @throws what the work throws, the signal's reason
 */
export async function inParallel<Item>(
  items: readonly Item[],
  work: (item: Item, signal: AbortSignal) => Promise<void>,
  { limit, signal }: { readonly limit: number; readonly signal: AbortSignal },
): Promise<void> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const waiting = items.values();
  const workers = Array.from({ length: limit }, async () => {
    try {
      for (const item of waiting) await work(item, either);
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  });
  await Promise.allSettled(workers);
  await Promise.all(workers);
}
