/** What a preheat asks an agent and what it answers, as JSON over HTTP between members that prove it: `POST /v1/warm`. */
import { Type } from 'typebox';
import type { Static } from 'typebox';

export const WARM_PATH = '/v1/warm';
/** Largest question: a credential may be a token of several kilobytes. */
export const MAX_WARM_REQUEST_BYTES = 64 * 1024;
/** Largest answer that is read. */
export const MAX_WARM_ANSWER_BYTES = 16 * 1024;

const Secret = Type.String({ minLength: 1, maxLength: 32 * 1024 });

const Credential = Type.Union([
  Type.Object({
    kind: Type.Literal('password'),
    username: Type.String({ minLength: 1, maxLength: 1024 }),
    password: Secret,
  }),
  Type.Object({ kind: Type.Literal('identity-token'), token: Secret }),
]);

export const WarmRequest = Type.Object(
  {
    /** As in a pod: `ghcr.io/acme/app:1.0`. */
    image: Type.String({ minLength: 1, maxLength: 512 }),
    /** For the image's registry. */
    credential: Type.Optional(Credential),
  },
  { additionalProperties: false },
);
export type WarmRequest = Static<typeof WarmRequest>;

const Count = Type.Integer({ minimum: 0 });
const Share = Type.Object({ total: Count, held: Count });

export const WarmAnswer = Type.Object({
  /**
   * `waiting`: others are being fetched first, or the next attempt is not due; `fetching`; `warm`: config, layers and
   * manifests of this node's platform are held; `failed`: the last attempt failed, asking again brings the next one.
   */
  state: Type.Union([
    Type.Literal('waiting'),
    Type.Literal('fetching'),
    Type.Literal('warm'),
    Type.Literal('failed'),
  ]),
  /** What the image's reference was resolved to. */
  digest: Type.Optional(
    Type.String({ maxLength: 135, pattern: '^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$' }),
  ),
  /** Of config and layers, once the manifest is known. */
  blobs: Type.Optional(Share),
  bytes: Type.Optional(Share),
  /** Why the last attempt failed. */
  reason: Type.Optional(Type.String({ maxLength: 1024 })),
});
export type WarmAnswer = Static<typeof WarmAnswer>;
