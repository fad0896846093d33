import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Authority } from '../../../demo/upstream/authority.ts';
import { parseRange, parseRoute } from '../../../demo/upstream/route.ts';
import { digestOf } from '../../support/bytes.ts';

const DIGEST = digestOf('x');

describe('a path', () => {
  test.each([
    ['/v2/', { kind: 'ping' }],
    ['/token', { kind: 'token' }],
    ['/v2/a/manifests/v1.0', { kind: 'manifest', repository: 'a', reference: 'v1.0' }],
    ['/v2/a/b-c/d__e/manifests/latest', { kind: 'manifest', repository: 'a/b-c/d__e', reference: 'latest' }],
    [`/v2/a/blobs/${DIGEST}`, { kind: 'blob', repository: 'a', digest: DIGEST }],
    [`/v2/blobs/blobs/${DIGEST}`, { kind: 'blob', repository: 'blobs', digest: DIGEST }],
    [`/v2/a/referrers/${DIGEST}`, { kind: 'referrers', repository: 'a', digest: DIGEST }],
    ['/v2/a/tags/list', { kind: 'tags', repository: 'a' }],
    ['/v2/a/tags/other', { kind: 'unknown' }],
    ['/v2/A/manifests/v1', { kind: 'unknown' }],
    ['/v2/../a/manifests/v1', { kind: 'unknown' }],
    ['/v2/a/blobs/sha256:12', { kind: 'unknown' }],
    ['/', { kind: 'unknown' }],
  ])('%s', (path, route) => {
    expect(parseRoute(path)).toEqual(route);
  });

  test('of any kind is understood or unknown, soon', () => {
    const part = fc.constantFrom('/', '/v2/', 'a', '-', '__', '.', 'manifests', 'blobs', DIGEST, 'Z', '%2f');
    const path = fc.oneof(
      fc.string(),
      fc.array(part, { maxLength: 300 }).map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(path, (text) => {
        expect(parseRoute(text)).toHaveProperty('kind');
      }),
    );
  });
});

test('a range of any kind lies within the content, or is none, or cannot be satisfied', () => {
  const number = fc.oneof(fc.constant(''), fc.nat().map(String), fc.constant('99999999999999999999'));
  const header = fc.oneof(
    fc.constant(undefined),
    fc.string(),
    fc.tuple(number, number).map(([from, to]) => `bytes=${from}-${to}`),
  );
  fc.assert(
    fc.property(header, fc.nat(), (text, size) => {
      const range = parseRange(text, size);
      if (range.kind !== 'part') return;
      expect(range.first).toBeGreaterThanOrEqual(0);
      expect(range.last).toBeGreaterThanOrEqual(range.first);
      expect(range.last).toBeLessThan(size);
    }),
  );
});

test.each([
  ['bytes=0-0', 1, { kind: 'part', first: 0, last: 0 }],
  ['bytes=-5', 3, { kind: 'part', first: 0, last: 2 }],
  ['bytes=-0', 3, { kind: 'unsatisfiable' }],
  ['bytes=3-', 3, { kind: 'unsatisfiable' }],
  ['bytes=0-', 0, { kind: 'unsatisfiable' }],
  ['bytes=-', 3, { kind: 'whole' }],
  ['items=0-1', 3, { kind: 'whole' }],
  [undefined, 3, { kind: 'whole' }],
])('range %s of %i bytes', (header, size, expected) => {
  expect(parseRange(header, size)).toEqual(expected);
});

test('no Authorization that was not given out opens anything', () => {
  const authority = new Authority();
  const users = [{ name: 'alice', password: 'secret', repositories: 'all' as const }];
  const header = fc.oneof(
    fc.constant(undefined),
    fc.string(),
    fc.tuple(fc.constantFrom('Basic ', 'Bearer ', 'bearer ', ''), fc.string()).map((parts) => parts.join('')),
  );
  for (const kind of ['basic', 'token'] as const) {
    authority.auth = { kind, users };
    fc.assert(
      fc.property(header, fc.constantFrom(undefined, 'app'), (text, repository) => {
        expect(authority.judge(text, repository, 'http://realm/token').denial?.status).toBe(401);
      }),
    );
  }
});
