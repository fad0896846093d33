import type { StrangerAnnounce } from './stranger-store.ts';

/** A stranger's request breaks BEP 3 or BEP 48. The message is sent to it as the failure reason. */
export class AnnounceQueryError extends Error {
  override readonly name = 'AnnounceQueryError';
}

export interface HttpAnnounce extends StrangerAnnounce {
  /** BEP 23: peers as bytes, which is what is sent unless `compact=0`. */
  readonly compact: boolean;
  readonly noPeerId: boolean;
}

const MAX_QUERY_LENGTH = 8192;
const MAX_PARAMETERS = 128;
const EVENTS = ['started', 'stopped', 'completed'] as const;

/**
 * The query of `GET /announce` (BEP 3). `ip`, `ipv4` and `ipv6` are not looked at: peers are told of the
 * address that the announce came from, or anyone could aim a swarm at a third party.
 * @throws AnnounceQueryError
 */
export function parseAnnounceQuery(query: string): HttpAnnounce {
  const parameters = parseParameters(query);
  const event = text(parameters, 'event');
  return {
    infoHash: identifier(parameters, 'info_hash'),
    peerId: identifier(parameters, 'peer_id'),
    port: Number(integer(parameters, 'port', 1n, 65_535n)),
    left: integer(parameters, 'left', 0n, 2n ** 63n - 1n),
    // Other events exist (BEP 21, `paused`) and change nothing here.
    event: EVENTS.find((known) => known === event),
    want: wanted(parameters),
    compact: text(parameters, 'compact') !== '0',
    noPeerId: text(parameters, 'no_peer_id') === '1',
  };
}

/**
 * The info-hashes of `GET /scrape` (BEP 48), as hex.
 * @throws AnnounceQueryError also for none: what there is in all is nobody's business.
 */
export function parseScrapeQuery(query: string, max: number): string[] {
  const hashes = parseParameters(query).get('info_hash') ?? [];
  if (hashes.length === 0)
    throw new AnnounceQueryError('info_hash is missing; a scrape of everything is not offered');
  if (hashes.length > max) throw new AnnounceQueryError(`more than ${max} info_hash in one scrape`);
  return hashes.map((bytes) => identifierHex(bytes, 'info_hash'));
}

function parseParameters(query: string): Map<string, Buffer[]> {
  if (query.length > MAX_QUERY_LENGTH)
    throw new AnnounceQueryError(`the query is longer than ${MAX_QUERY_LENGTH} characters`);
  const parts = query.split('&').filter((part) => part !== '');
  if (parts.length > MAX_PARAMETERS)
    throw new AnnounceQueryError(`the query has more than ${MAX_PARAMETERS} parameters`);
  const parameters = new Map<string, Buffer[]>();
  for (const part of parts) {
    const equals = part.indexOf('=');
    const name = percentDecode(equals === -1 ? part : part.slice(0, equals)).toString('latin1');
    const value = percentDecode(equals === -1 ? '' : part.slice(equals + 1));
    parameters.set(name, [...(parameters.get(name) ?? []), value]);
  }
  return parameters;
}

/**
 * RFC 3986, 2.1, to bytes: an info-hash is no text in any character set. `+` stands for itself, as BEP 3's clients mean it.
 * @throws AnnounceQueryError
 */
export function percentDecode(encoded: string): Buffer {
  const bytes = Buffer.alloc(encoded.length);
  let length = 0;
  for (let at = 0; at < encoded.length; at++, length++) {
    const code = encoded.charCodeAt(at);
    if (code > 0x7e || code < 0x21)
      throw new AnnounceQueryError('the query has a character that must be percent-encoded');
    if (code !== 0x25) {
      bytes[length] = code;
      continue;
    }
    const digits = encoded.slice(at + 1, at + 3);
    if (!/^[0-9A-Fa-f]{2}$/.test(digits))
      throw new AnnounceQueryError('the query has a % that two hex digits do not follow');
    bytes[length] = Number.parseInt(digits, 16);
    at += 2;
  }
  return bytes.subarray(0, length);
}

function single(parameters: Map<string, Buffer[]>, name: string): Buffer | undefined {
  const values = parameters.get(name);
  if (values !== undefined && values.length > 1)
    throw new AnnounceQueryError(`${name} is given more than once`);
  return values?.[0];
}

function text(parameters: Map<string, Buffer[]>, name: string): string | undefined {
  return single(parameters, name)?.toString('latin1');
}

function identifier(parameters: Map<string, Buffer[]>, name: string): string {
  const bytes = single(parameters, name);
  if (bytes === undefined) throw new AnnounceQueryError(`${name} is missing`);
  return identifierHex(bytes, name);
}

function identifierHex(bytes: Buffer, name: string): string {
  if (bytes.length !== 20) throw new AnnounceQueryError(`${name} has ${bytes.length} bytes, 20 are needed`);
  return bytes.toString('hex');
}

function integer(parameters: Map<string, Buffer[]>, name: string, min: bigint, max: bigint): bigint {
  const given = text(parameters, name);
  if (given === undefined) throw new AnnounceQueryError(`${name} is missing`);
  const value = /^\d{1,19}$/.test(given) ? BigInt(given) : -1n;
  if (value < min || value > max)
    throw new AnnounceQueryError(`${name} must be an integer from ${min} to ${max}`);
  return value;
}

/** `numwant`, absent or negative for as many as is customary. */
function wanted(parameters: Map<string, Buffer[]>): number | undefined {
  const given = text(parameters, 'numwant');
  if (given === undefined || given === '') return undefined;
  if (!/^-?\d{1,10}$/.test(given)) throw new AnnounceQueryError('numwant must be an integer');
  return Number(given) < 0 ? undefined : Number(given);
}
