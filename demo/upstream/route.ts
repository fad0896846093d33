/** What a path of the OCI distribution API asks for (specification, "Endpoints"). */
export type Route =
  | { kind: 'ping' }
  | { kind: 'manifest'; repository: string; reference: string }
  | { kind: 'blob'; repository: string; digest: string }
  | { kind: 'tags'; repository: string }
  | { kind: 'referrers'; repository: string; digest: string }
  | { kind: 'token' }
  | { kind: 'unknown' };

const NAME = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const PATH = new RegExp(`^/v2/(${NAME}(?:/${NAME})*)/(manifests|blobs|tags|referrers)/([^/]+)$`);
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
const MAX_PATH = 1024;

export function parseRoute(path: string): Route {
  if (path === '/v2/' || path === '/v2') return { kind: 'ping' };
  if (path === '/token') return { kind: 'token' };
  const [, repository, area, last] = (path.length <= MAX_PATH ? PATH.exec(path) : undefined) ?? [];
  if (repository === undefined || last === undefined) return { kind: 'unknown' };
  if (area === 'manifests') return { kind: 'manifest', repository, reference: last };
  if (area === 'tags') return last === 'list' ? { kind: 'tags', repository } : { kind: 'unknown' };
  if (!DIGEST.test(last)) return { kind: 'unknown' };
  return area === 'blobs'
    ? { kind: 'blob', repository, digest: last }
    : { kind: 'referrers', repository, digest: last };
}

/** First and last byte of a single satisfiable range; RFC 9110 section 14. */
export type RangeAnswer =
  | { kind: 'whole' }
  | { kind: 'part'; first: number; last: number }
  | { kind: 'unsatisfiable' };

/** Several ranges, other units and nonsense are ignored, as RFC 9110 section 14.2 permits. */
export function parseRange(header: string | undefined, size: number): RangeAnswer {
  const [, from, to] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '') ?? [];
  if (from === undefined || to === undefined || (from === '' && to === '')) return { kind: 'whole' };
  if (from !== '' && to !== '' && Number(from) > Number(to)) return { kind: 'whole' };
  const first = from === '' ? Math.max(0, size - Number(to)) : Number(from);
  const last = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1);
  return first >= size || first > last ? { kind: 'unsatisfiable' } : { kind: 'part', first, last };
}
