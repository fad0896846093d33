import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AccessEntry, AccessLog, UpstreamPart } from './access-log.ts';
import type { Bandwidth } from './bandwidth.ts';
import { sendBody, sizeOfBlob } from './body.ts';
import type { BlobSource } from './content.ts';
import { findFault, type Fault } from './faults.ts';
import { parseRange, type Route } from './route.ts';

/** One request on its way to its answer. */
export interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  part: UpstreamPart;
  url: URL;
  route: Route;
  entry: AccessEntry;
  log: AccessLog;
  bandwidth: Bandwidth;
  faults: readonly Fault[];
  signal: AbortSignal;
}

export type Headers = Record<string, string>;

/** A small answer that no fault and no limit touches. */
export function sendJson(exchange: Exchange, status: number, value: object, headers: Headers = {}): void {
  const bytes = Buffer.from(JSON.stringify(value));
  writeHead(exchange, status, {
    'content-type': 'application/json',
    'content-length': String(bytes.length),
    ...headers,
  });
  if (exchange.request.method === 'HEAD') return void exchange.response.end();
  exchange.response.end(bytes, () => exchange.log.sent(exchange.entry, bytes.length));
}

/** The distribution specification's error body. */
export function sendError(
  exchange: Exchange,
  status: number,
  code: string,
  message: string,
  headers: Headers = {},
): void {
  sendJson(exchange, status, { errors: [{ code, message, detail: {} }] }, headers);
}

export function sendEmpty(exchange: Exchange, status: number, headers: Headers): void {
  writeHead(exchange, status, headers);
  exchange.response.end();
}

/** A manifest or a blob: Range, If-None-Match, HEAD, and all the faults of bodies. */
export async function sendContent(
  exchange: Exchange,
  digest: string,
  source: BlobSource,
  headers: Headers,
): Promise<void> {
  const { request, faults } = exchange;
  const etag = `"${digest}"`;
  const common = { ...headers, etag, 'docker-content-digest': digest };
  if (request.headers['if-none-match'] === etag) return sendEmpty(exchange, 304, common);
  const size = Math.min(sizeOfBlob(source), findFault(faults, 'truncate')?.atByte ?? Infinity);
  const range = parseRange(rangeHeader(exchange, etag), size);
  if (range.kind === 'unsatisfiable') {
    return sendError(exchange, 416, 'RANGE_INVALID', 'range not satisfiable', {
      'content-range': `bytes */${size}`,
    });
  }
  const [from, to] = range.kind === 'part' ? [range.first, range.last + 1] : [0, size];
  writeHead(exchange, range.kind === 'part' ? 206 : 200, {
    ...common,
    'content-length': String(to - from),
    ...(range.kind === 'part' ? { 'content-range': `bytes ${from}-${to - 1}/${size}` } : {}),
  });
  if (request.method === 'HEAD') return void exchange.response.end();
  exchange.entry.digest = digest;
  await sendBody(exchange.response, { source, from, to }, exchange);
}

/** The header that counts: a HEAD has no ranges, and a stale If-Range voids it (RFC 9110 section 13.1.5). */
function rangeHeader({ request, faults }: Exchange, etag: string): string | undefined {
  const guard = request.headers['if-range'];
  const ignored = request.method === 'HEAD' || findFault(faults, 'ignore-range') !== undefined;
  return ignored || (guard !== undefined && guard !== etag) ? undefined : request.headers.range;
}

function writeHead({ response, entry }: Exchange, status: number, headers: Headers): void {
  entry.status = status;
  response.writeHead(status, headers);
}
