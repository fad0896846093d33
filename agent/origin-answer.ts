import type { Dispatcher } from 'undici';
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { MAX_BLOB_SIZE } from '#swarm/core/piece-length.ts';
import { isDigest } from '#registry/digest.ts';
import { essence } from '#registry/media-types.ts';
import { MANIFEST_LIMIT, ORIGIN_BODY_LIMIT } from './defaults.ts';
import { readWhole, type Refusal } from './upstream.ts';

/** Where an origin listens for peers. */
export interface OriginPeer {
  readonly host: string;
  readonly port: number;
}

/** What the origins said of a manifest or blob. */
export type OriginAnswer =
  /** A manifest or small blob. `positive`: upstream served this very request with this caller's credential. */
  | {
      readonly kind: 'content';
      readonly bytes: Buffer;
      readonly mediaType: string | undefined;
      readonly positive: boolean;
    }
  /** A large blob: its bytes come by the swarm of that scope, which the peer is in. */
  | {
      readonly kind: 'swarm';
      readonly size: number;
      readonly scope: string;
      readonly peer: OriginPeer;
      /** The origin had no room for some of it, and no peer of its own has that any more: it will not come. */
      readonly hasGaps: boolean;
      readonly positive: boolean;
    }
  /** Upstream refused the origin, which asked with this caller's credential. */
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  /** The origin cannot reach upstream and does not hold the content. */
  | { readonly kind: 'unreachable' }
  /** No origin answered. */
  | { readonly kind: 'absent' };

/** An origin answered something that breaks the agreement between agent and origin. */
class OriginAnswerError extends Error {
  override readonly name = 'OriginAnswerError';
}

const SWARM_TYPE = 'application/vnd.shoal.swarm.v1+json';

const Descriptor = Compile(
  Type.Object({
    digest: Type.String({ maxLength: 200 }),
    size: Type.Integer({ minimum: 1, maximum: MAX_BLOB_SIZE }),
    scope: Type.String({ minLength: 1, maxLength: 255 }),
    peer: Type.Object({
      host: Type.String({ minLength: 1, maxLength: 255 }),
      port: Type.Integer({ minimum: 1, maximum: 65_535 }),
    }),
    hasGaps: Type.Optional(Type.Boolean()),
  }),
);

/**
 * Reads one origin's answer about `digest` (undefined for a tag).
 * @returns undefined where the origin itself is out of order, so that the next is asked
 * @throws OriginAnswerError
 */
export async function readOriginAnswer(
  response: Dispatcher.ResponseData,
  digest: string | undefined,
): Promise<OriginAnswer | undefined> {
  const { statusCode: status } = response;
  const upstream = header(response, 'shoal-upstream');
  if (status === 200) return readContent(response, digest);
  const body = await readWhole(response.body, ORIGIN_BODY_LIMIT);
  if (upstream === 'unreachable') return { kind: 'unreachable' };
  if (upstream !== 'refused') return undefined;
  const challenges = response.headers['www-authenticate'] ?? [];
  return {
    kind: 'refused',
    refusal: {
      status,
      challenges: typeof challenges === 'string' ? [challenges] : challenges,
      body: body.toString('utf8'),
    },
  };
}

async function readContent(
  response: Dispatcher.ResponseData,
  digest: string | undefined,
): Promise<OriginAnswer> {
  const positive = header(response, 'shoal-verdict') === 'positive';
  const mediaType = header(response, 'content-type');
  if (mediaType === undefined || essence(mediaType) !== SWARM_TYPE) {
    const bytes = await readWhole(response.body, MANIFEST_LIMIT);
    return { kind: 'content', bytes, mediaType, positive };
  }
  const body = await readWhole(response.body, ORIGIN_BODY_LIMIT);
  const { size, scope, peer, hasGaps = false } = parseDescriptor(body, digest);
  return { kind: 'swarm', size, scope, peer, hasGaps, positive };
}

function parseDescriptor(
  bytes: Buffer,
  digest: string | undefined,
): { size: number; scope: string; peer: OriginPeer; hasGaps?: boolean } {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new OriginAnswerError('the swarm descriptor is not JSON', { cause });
  }
  if (!Descriptor.Check(value)) {
    const first = Descriptor.Errors(value)[0];
    throw new OriginAnswerError(
      `the swarm descriptor${first?.instancePath ?? ''} ${first?.message ?? 'is malformed'}`,
    );
  }
  if (!isDigest(value.digest) || value.digest !== digest)
    throw new OriginAnswerError('the swarm descriptor is of another digest');
  return value;
}

/** A header that has one value. */
export function header(response: Dispatcher.ResponseData, name: string): string | undefined {
  const value = response.headers[name];
  return typeof value === 'string' ? value : value?.[0];
}
