import { asError } from '#registry/as-error.ts';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

/** The client closed its connection before the body's end: no failure, containerd does so by design. */
export class ClientGoneError extends Error {
  override readonly name = 'ClientGoneError';

  constructor(options?: ErrorOptions) {
    super('the client has gone', options);
  }
}

/** A signal that aborts, with ClientGoneError, when the connection closes before the answer's end. */
export function clientSignal(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  const onClose = (): void => {
    if (!response.writableFinished) controller.abort(new ClientGoneError());
  };
  if (response.destroyed) onClose();
  else response.once('close', onClose);
  return controller.signal;
}

/**
 * Writes a body at the pace of its client. A chunk may be used again by who gave it once the next but one is asked for.
 * Whatever goes wrong, the connection is cut: a body whose end is not vouched for never ends cleanly.
 * @param begin writes the head; called when the first chunk is there
 * @throws what the chunks threw, or the signal's reason
 */
export async function sendBody(
  response: ServerResponse,
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  begin: () => void,
): Promise<void> {
  let begun = false;
  const start = (): void => {
    if (!begun) begin();
    begun = true;
  };
  try {
    let flushed = Promise.resolve();
    for await (const chunk of chunks) {
      signal.throwIfAborted();
      start();
      const before = flushed;
      flushed = write(response, chunk, signal);
      flushed.catch(() => {});
      await before;
    }
    signal.throwIfAborted();
    start();
    await flushed;
    response.end();
    await finished(response, signal);
  } catch (error) {
    if (begun) response.destroy();
    throw error;
  }
}

/** Resolves when the operating system has taken the chunk. */
async function write(response: ServerResponse, chunk: Uint8Array, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => reject(asError(signal.reason));
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    // A reset is told here before the connection is known to have closed.
    response.write(chunk, (cause) => (cause ? reject(new ClientGoneError({ cause })) : resolve()));
    await promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function finished(response: ServerResponse, signal: AbortSignal): Promise<void> {
  if (!response.writableFinished) await once(response, 'finish', { signal });
}
