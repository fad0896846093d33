import type { FastifyInstance } from 'fastify';
import { readDigest } from '#registry/endpoint.ts';
import { OciError } from '#registry/oci-error.ts';
import type { AnonymousRepositories } from '#origin/anonymous.ts';
import type { Ownership } from '#origin/ownership.ts';
import type { Readings } from '#origin/readings.ts';
import { parseRepositoryName } from './request.ts';

export interface MemberParts {
  readonly anonymous: AnonymousRepositories;
  readonly readings: Pick<Readings, 'find'>;
  readonly ownership: Pick<Ownership, 'askOthers'>;
}

/** What members of the cluster ask beside content: who may be read by anyone, and what is being read here. */
export function addMemberRoutes(app: FastifyInstance, { anonymous, readings, ownership }: MemberParts): void {
  app.get('/v1/anonymous', async (request, reply) => {
    const query = queryOf(request.raw.url);
    const named = parseRepositoryName(query.get('registry'), query.get('repository') ?? '');
    const since = anonymous.since(named);
    if (since !== undefined) return reply.send({ since });
    const path = `/v1/anonymous?${new URLSearchParams(named).toString()}`;
    const isForwarded = request.headers['shoal-forwarded'] !== undefined;
    const told = isForwarded ? [] : await ownership.askOthers(path);
    const found = told.find(({ status }) => status === 200);
    if (found) return reply.type('application/json').send(found.body);
    throw new OciError('NAME_UNKNOWN', 'the repository is not known to be served anonymously');
  });
  app.get<{ Params: { digest: string } }>('/v1/reads/:digest', (request, reply) => {
    const registry = queryOf(request.raw.url).get('registry') ?? '';
    const reading = readings.find(readDigest(request.params.digest), registry);
    if (!reading) throw new OciError('BLOB_UNKNOWN', 'the blob is not being read here');
    return reply.code(204).send();
  });
}

function queryOf(target: string | undefined): URLSearchParams {
  return new URLSearchParams(target?.split('?', 2)[1] ?? '');
}
