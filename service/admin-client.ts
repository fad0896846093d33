import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';

import { parseOciErrors } from '#registry/oci-error.ts';

class AdminError extends Error {
  override readonly name = 'AdminError';
}

/** Name of the socket in a part's data directory. */
export const ADMIN_SOCKET = 'admin.sock';
/** Largest answer taken from an admin socket. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

/**
 * One JSON request over a part's admin socket.
 * @returns the parsed answer.
 * @throws AdminError when nobody serves the socket, or with the part's own message when it refused.
 */
export async function askAdmin(
  socketPath: string,
  ask: { method: string; path: string; body?: unknown },
  signal: AbortSignal,
): Promise<unknown> {
  const body = ask.body === undefined ? undefined : JSON.stringify(ask.body);
  const response = await send(socketPath, { ...ask, body }, signal);
  const bytes = await readCapped(response);
  const status = response.statusCode ?? 0;
  if (status < 200 || status > 299)
    throw new AdminError(parseOciErrors(bytes)[0]?.message ?? `the agent answered with status ${status}`);
  return parseAnswer(bytes.toString('utf8'));
}

function send(
  socketPath: string,
  ask: { method: string; path: string; body: string | undefined },
  signal: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = ask.body === undefined ? {} : { 'content-type': 'application/json' };
    const outgoing = request({
      socketPath,
      method: ask.method,
      path: ask.path,
      headers,
      signal,
      agent: false,
    });
    outgoing.once('response', resolve);
    outgoing.once('error', (error) => {
      if (signal.aborted) reject(error);
      else
        reject(
          new AdminError(
            `nothing answers at ${socketPath}: is the agent running, with this data directory? (${error.message})`,
            { cause: error },
          ),
        );
    });
    outgoing.end(ask.body);
  });
}

async function readCapped(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  const body: AsyncIterable<Buffer> = response;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES)
      throw new AdminError(`the agent's answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parseAnswer(text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new AdminError('the agent answered with something that is not JSON', { cause: error });
  }
}
