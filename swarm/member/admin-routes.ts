import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { OciError } from '#registry/oci-error.ts';
import { faultOfRates } from '#service/config/bandwidth.ts';
import type { EngineLimits } from '#swarm/session/engine.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';

export interface AdminParts {
  readonly store: Pick<BlobStore, 'prune' | 'usage'>;
  /** The limits to begin with. */
  readonly limits: EngineLimits;
  readonly setLimits: (limits: EngineLimits) => void;
  /** What goes on in this part, for `GET /v1/status`. */
  readonly status: () => object;
}

const Prune = Type.Object(
  {
    all: Type.Optional(Type.Boolean()),
    olderThanMs: Type.Optional(Type.Number({ minimum: 0 })),
    toBytes: Type.Optional(Type.Number({ minimum: 0 })),
  },
  { additionalProperties: false, minProperties: 1 },
);
const Rate = Type.Optional(Type.Union([Type.Number(), Type.Null()]));
const Limits = Type.Object(
  { downloadBytesPerSecond: Rate, uploadBytesPerSecond: Rate },
  { additionalProperties: false, minProperties: 1 },
);

/** What whoever owns the machine may do to an agent or an origin: the routes of the admin socket. */
export function addAdminRoutes(app: FastifyInstance, parts: AdminParts): void {
  let current = parts.limits;
  app.post<{ Body: Type.Static<typeof Prune> }>('/v1/prune', { schema: { body: Prune } }, ({ body }) =>
    parts.store.prune(body),
  );
  app.patch<{ Body: Type.Static<typeof Limits> }>('/v1/limits', { schema: { body: Limits } }, ({ body }) => {
    const fault = faultOfRates(body);
    if (fault !== undefined) throw new OciError('UNSUPPORTED', fault, { status: 400 });
    current = { ...current, ...withoutNulls(body) };
    parts.setLimits(current);
    return shown(current);
  });
  app.get('/v1/status', () => ({
    store: parts.store.usage(),
    limits: shown(current),
    ...parts.status(),
  }));
}

/** A limit of null is none. */
function withoutNulls(body: Type.Static<typeof Limits>): EngineLimits {
  return Object.fromEntries(Object.entries(body).map(([name, rate]) => [name, rate ?? undefined]));
}

function shown(limits: EngineLimits): Record<keyof EngineLimits, number | null> {
  return {
    downloadBytesPerSecond: limits.downloadBytesPerSecond ?? null,
    uploadBytesPerSecond: limits.uploadBytesPerSecond ?? null,
  };
}
