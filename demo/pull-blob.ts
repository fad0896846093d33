import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { once } from 'node:events';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const KEPT_BODY_BYTES = 64 * 1024;
const MAX_REDIRECTS = 3;

export interface PullOptions {
  method?: 'GET' | 'HEAD';
  /** The whole header value, such as `Bearer …`; dropped when a redirect leaves the origin. */
  authorization?: string | undefined;
  /** The whole header value, such as `bytes=0-99`. */
  range?: string | undefined;
  headers?: Record<string, string>;
  /** Reads no faster than so many bytes per second, so that back-pressure reaches the server. */
  rate?: number;
  /** Hangs up once so many body bytes were read, as containerd does with its open-ended ranges. */
  hangUpAfter?: number;
  /** Also writes the body to this file. */
  saveTo?: string;
  ca?: string;
  signal?: AbortSignal;
  onBytes?: (count: number) => void;
}

export interface PulledBlob {
  status: number;
  headers: IncomingHttpHeaders;
  /** Hex, over the body bytes that arrived. */
  sha256: string;
  /** Body bytes that arrived. */
  bytes: number;
  /** The first 64 KiB of the body: an error's text, a manifest. */
  head: Buffer;
  /** From the call to the first body byte, undefined for an empty body. */
  firstByteMs: number | undefined;
  totalMs: number;
  /** Whether the body ended as HTTP says it must; false if the connection was cut, or the caller hung up. */
  complete: boolean;
  /** Followed redirects. */
  redirects: number;
}

/**
 * Reads one body on a connection of its own and tells what arrived, also when the connection was cut midway.
 * Rejects when no response came at all, or when `signal` aborts.
 */
export async function pullBlob(url: string | URL, options: PullOptions = {}): Promise<PulledBlob> {
  const started = performance.now();
  let target = new URL(url);
  let authorization = options.authorization;
  for (let redirects = 0; ; redirects++) {
    const response = await respond(target, authorization, options);
    const location = response.headers.location;
    if (!isRedirect(response.statusCode) || location === undefined || redirects === MAX_REDIRECTS) {
      return { ...(await readBody(response, options, started)), redirects };
    }
    response.destroy();
    const next = new URL(location, target);
    if (next.origin !== target.origin) authorization = undefined;
    target = next;
  }
}

function isRedirect(status: number | undefined): boolean {
  return status !== undefined && [301, 302, 303, 307, 308].includes(status);
}

async function respond(
  url: URL,
  authorization: string | undefined,
  options: PullOptions,
): Promise<IncomingMessage> {
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  const request = send(url, {
    method: options.method ?? 'GET',
    agent: false,
    headers: {
      'accept-encoding': 'identity',
      ...(authorization === undefined ? {} : { authorization }),
      ...(options.range === undefined ? {} : { range: options.range }),
      ...options.headers,
    },
    ...(options.ca === undefined ? {} : { ca: options.ca }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  request.once('response', resolve);
  // Stays on: a cut that follows the headers comes as an error of the request too.
  request.on('error', reject);
  request.end();
  return promise;
}

async function readBody(
  response: IncomingMessage,
  options: PullOptions,
  started: number,
): Promise<Omit<PulledBlob, 'redirects'>> {
  const hash = createHash('sha256');
  const kept: Buffer[] = [];
  let bytes = 0;
  let firstByteMs: number | undefined;
  const ended = await eachChunk(response, options, (chunk) => {
    firstByteMs ??= performance.now() - started;
    if (bytes < KEPT_BODY_BYTES) kept.push(chunk.subarray(0, KEPT_BODY_BYTES - bytes));
    bytes += chunk.length;
    hash.update(chunk);
  });
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    sha256: hash.digest('hex'),
    bytes,
    head: Buffer.concat(kept),
    firstByteMs,
    totalMs: performance.now() - started,
    complete: ended && response.complete,
  };
}

/** True if the body ended; false if the connection was cut or `hangUpAfter` was reached. */
async function eachChunk(
  response: IncomingMessage,
  options: PullOptions,
  see: (chunk: Buffer) => void,
): Promise<boolean> {
  const file = options.saveTo === undefined ? undefined : createWriteStream(options.saveTo);
  const started = performance.now();
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      see(chunk);
      bytes += chunk.length;
      options.onBytes?.(chunk.length);
      if (file !== undefined && !file.write(chunk)) await once(file, 'drain');
      if (options.hangUpAfter !== undefined && bytes >= options.hangUpAfter) return false;
      if (options.rate !== undefined) await keepTo(options.rate, bytes, started, options.signal);
    }
    return true;
  } catch (error) {
    options.signal?.throwIfAborted();
    if (response.complete || file?.errored) throw error;
    return false;
  } finally {
    file?.end();
    if (file !== undefined) await finished(file);
  }
}

async function keepTo(rate: number, bytes: number, started: number, signal?: AbortSignal): Promise<void> {
  const early = (bytes / rate) * 1000 - (performance.now() - started);
  if (early > 1) await sleep(early, undefined, signal === undefined ? {} : { signal });
}
