import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { OciError } from '#registry/oci-error.ts';
import { faultOfRates } from '#service/config/bandwidth.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';
import type { Engine, EngineLimits } from '#swarm/session/engine.ts';

export interface AdminParts {
  readonly store: Pick<BlobStore, 'prune' | 'usage'>;
  readonly engine: Pick<Engine, 'setLimits' | 'status'>;
  /** The limits to begin with. */
  readonly limits: EngineLimits;
  readonly running: () => { readonly requests: number; readonly pulls: number };
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

/** What whoever owns the node may do to its agent: the routes of the admin socket. */
export function addAdminRoutes(app: FastifyInstance, { store, engine, limits, running }: AdminParts): void {
  let current = limits;
  app.post<{ Body: Type.Static<typeof Prune> }>('/v1/prune', { schema: { body: Prune } }, ({ body }) =>
    store.prune(body),
  );
  app.patch<{ Body: Type.Static<typeof Limits> }>('/v1/limits', { schema: { body: Limits } }, ({ body }) => {
    const fault = faultOfRates(body);
    if (fault !== undefined) throw new OciError('UNSUPPORTED', fault, { status: 400 });
    current = { ...current, ...withoutNulls(body) };
    engine.setLimits(current);
    return shown(current);
  });
  app.get('/v1/status', () => ({
    store: store.usage(),
    swarm: engine.status,
    limits: shown(current),
    ...running(),
  }));
}

/** A limit of null is none. */
function withoutNulls(body: Type.Static<typeof Limits>): EngineLimits {
  return Object.fromEntries(Object.entries(body).map(([name, rate]) => [name, rate ?? undefined]));
}

function shown({
  downloadBytesPerSecond,
  uploadBytesPerSecond,
}: EngineLimits): Record<string, number | null> {
  return {
    downloadBytesPerSecond: downloadBytesPerSecond ?? null,
    uploadBytesPerSecond: uploadBytesPerSecond ?? null,
  };
}
