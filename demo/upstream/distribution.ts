import { sendContent, sendEmpty, sendError, sendJson, type Exchange } from './exchange.ts';
import type { Content, StoredManifest } from './content.ts';

const INDEX = 'application/vnd.oci.image.index.v1+json';
const MAX_TAGS = 1000;

export interface DistributionParts {
  content: Content;
  /** Where a blob lies on another origin, when blobs are redirected. */
  redirect: ((digest: string, repository: string) => string) | undefined;
}

/** The pull side of the OCI distribution specification 1.1, once rights are settled. */
export async function answerDistribution(exchange: Exchange, parts: DistributionParts): Promise<void> {
  const { route, request } = exchange;
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return sendError(exchange, 405, 'UNSUPPORTED', 'this registry is read-only', { allow: 'GET, HEAD' });
  }
  if (route.kind === 'ping') return sendJson(exchange, 200, {});
  if (!('repository' in route)) return sendError(exchange, 404, 'UNSUPPORTED', 'no such endpoint');
  if (!parts.content.has(route.repository)) {
    return sendError(exchange, 404, 'NAME_UNKNOWN', 'repository name not known to registry');
  }
  if (route.kind === 'manifest') return answerManifest(exchange, parts.content, route);
  if (route.kind === 'blob') return answerBlob(exchange, parts, route);
  if (route.kind === 'tags') return answerTags(exchange, parts.content, route.repository);
  return answerReferrers(exchange, parts.content, route);
}

async function answerManifest(
  exchange: Exchange,
  content: Content,
  { repository, reference }: { repository: string; reference: string },
): Promise<void> {
  const manifest = content.manifest(repository, reference);
  if (manifest === undefined) return sendError(exchange, 404, 'MANIFEST_UNKNOWN', 'manifest unknown');
  if (!reference.includes(':') && !accepts(exchange, manifest)) {
    const message = `manifest is ${manifest.mediaType}, which the accept header does not name`;
    return sendError(exchange, 404, 'MANIFEST_UNKNOWN', message);
  }
  const source = { kind: 'bytes', bytes: manifest.bytes } as const;
  return sendContent(exchange, manifest.digest, source, { 'content-type': manifest.mediaType });
}

function accepts({ request }: Exchange, { mediaType }: StoredManifest): boolean {
  const named = (request.headers.accept ?? '*/*').split(',');
  const accepted = new Set(named.map((type) => type.split(';', 1)[0]!.trim()));
  return [mediaType, 'application/*', '*/*'].some((type) => accepted.has(type));
}

async function answerBlob(
  exchange: Exchange,
  { content, redirect }: DistributionParts,
  { repository, digest }: { repository: string; digest: string },
): Promise<void> {
  const source = content.blob(repository, digest);
  if (source === undefined) return sendError(exchange, 404, 'BLOB_UNKNOWN', 'blob unknown to registry');
  if (redirect !== undefined) {
    const location = redirect(digest, repository);
    return sendEmpty(exchange, 307, { location, 'docker-content-digest': digest, 'content-length': '0' });
  }
  return sendContent(exchange, digest, source, {
    'content-type': 'application/octet-stream',
    'accept-ranges': 'bytes',
    'cache-control': 'max-age=31536000',
  });
}

function answerTags(exchange: Exchange, content: Content, repository: string): void {
  const { searchParams } = exchange.url;
  const asked = Number(searchParams.get('n') ?? MAX_TAGS);
  if (!Number.isInteger(asked) || asked < 0) {
    return sendError(exchange, 400, 'PAGINATION_NUMBER_INVALID', 'n must be a whole number, 0 or more');
  }
  const after = searchParams.get('last') ?? '';
  const tags = content.tags(repository).filter((tag) => tag > after);
  const page = tags.slice(0, Math.min(asked, MAX_TAGS));
  const next = new URLSearchParams({ n: String(asked), last: page.at(-1) ?? '' });
  const more = page.length > 0 && page.length < tags.length;
  const link = `</v2/${repository}/tags/list?${next.toString()}>; rel="next"`;
  sendJson(exchange, 200, { name: repository, tags: page }, more ? { link } : {});
}

function answerReferrers(
  exchange: Exchange,
  content: Content,
  { repository, digest }: { repository: string; digest: string },
): void {
  const type = exchange.url.searchParams.get('artifactType');
  const manifests = content
    .referrers(repository, digest)
    .filter(({ artifactType }) => type === null || artifactType === type)
    .map(({ mediaType, digest: own, bytes, artifactType, annotations }) => ({
      mediaType,
      digest: own,
      size: bytes.length,
      artifactType,
      annotations,
    }));
  sendJson(
    exchange,
    200,
    { schemaVersion: 2, mediaType: INDEX, manifests },
    { 'content-type': INDEX, ...(type === null ? {} : { 'oci-filters-applied': 'artifactType' }) },
  );
}
