import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { orInvalid, parseEndpoint, readDigest, readReference } from '#registry/endpoint.ts';

const DIGEST = digestOf('x');

test.each([
  ['/v2/a/b/manifests/v1', { name: 'a/b', kind: 'manifests', reference: 'v1' }],
  [`/v2/a/blobs/${DIGEST}`, { name: 'a', kind: 'blobs', reference: DIGEST }],
  [`/v2/a/blobs/${encodeURIComponent(DIGEST)}`, { name: 'a', kind: 'blobs', reference: DIGEST }],
  ['/v2/a/manifests/b/referrers/c', { name: 'a/manifests/b', kind: 'referrers', reference: 'c' }],
  ['/v2/a/tags/list', { name: 'a', kind: 'tags' }],
])('%s is read', (path, endpoint) => {
  expect(parseEndpoint(path)).toEqual(endpoint);
});

test.each(['/v2/', '/v2/a', '/v2/a/blobs/', '/v2/_catalog', '/v2/a/blobs/uploads/', '/v1/a/blobs/b'])(
  '%s is no endpoint that is served',
  (path) => {
    expect(parseEndpoint(path)).toBeUndefined();
  },
);

test('any text is an endpoint, none, or refused with an error for the client', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const readers = [() => parseEndpoint(`/v2/${text}`), () => readReference(text), () => readDigest(text)];
      for (const read of readers) expect([true, 'OciError']).toContain(outcome(read));
    }),
  );
});

function outcome(read: () => unknown): unknown {
  try {
    read();
    return true;
  } catch (error) {
    return error instanceof Error ? error.name : error;
  }
}

test('what is no malformed name is thrown on as it is', () => {
  const bug = new TypeError('a bug');
  const failing = (): never => {
    throw bug;
  };
  expect(() => orInvalid('NAME_INVALID', failing)).toThrow(bug);
});
