import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseDoorRequest } from '#agent/door/request.ts';
import { OciError } from '#registry/oci-error.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;

describe('the registry behind a request', () => {
  test.each([
    ['/v2/library/alpine/manifests/3?ns=docker.io', 'docker.io', 'library/alpine'],
    ['/v2/alpine/manifests/3', 'docker.io', 'library/alpine'],
    ['/v2/org/app/manifests/3', 'docker.io', 'org/app'],
    ['/v2/docker.io/alpine/manifests/3', 'docker.io', 'library/alpine'],
    ['/v2/index.docker.io/alpine/manifests/3', 'docker.io', 'library/alpine'],
    ['/v2/ghcr.io/org/app/manifests/3', 'ghcr.io', 'org/app'],
    ['/v2/localhost/app/manifests/3', 'localhost', 'app'],
    ['/v2/registry:5000/app/manifests/3', 'registry:5000', 'app'],
    ['/v2/org/app/manifests/3?ns=Registry.Example:5000', 'registry.example:5000', 'org/app'],
    ['/v2/org/app/manifests/3?ns=%5B::1%5D:5000', '[::1]:5000', 'org/app'],
  ])('%s', (target, registry, repository) => {
    expect(parseDoorRequest(target, undefined)).toMatchObject({
      kind: 'content',
      caller: { registry, repository },
      resource: { kind: 'manifest', reference: '3' },
    });
  });

  test('ns counts before what the path looks like', () => {
    const { caller } = parseDoorRequest('/v2/ghcr.io/org/app/manifests/3?ns=quay.io', undefined);
    expect(caller).toMatchObject({ registry: 'quay.io', repository: 'ghcr.io/org/app' });
  });
});

test('a repository may be called like an endpoint', () => {
  expect(parseDoorRequest(`/v2/a/blobs/manifests/blobs/${DIGEST}?ns=r.io`, undefined)).toMatchObject({
    caller: { repository: 'a/blobs/manifests' },
    resource: { kind: 'blob', digest: DIGEST },
  });
});

test('lists keep their query, less ns', () => {
  expect(parseDoorRequest('/v2/app/tags/list?n=2&ns=r.io&last=a%2Fb', 'Basic x')).toMatchObject({
    kind: 'list',
    caller: { registry: 'r.io', repository: 'app', authorization: 'Basic x' },
    resource: { kind: 'tags' },
    query: 'n=2&last=a%2Fb',
    ns: 'r.io',
  });
  expect(parseDoorRequest(`/v2/app/referrers/${DIGEST}?ns=r.io`, undefined)).toMatchObject({
    resource: { kind: 'referrers', digest: DIGEST },
    query: '',
  });
});

describe('what is malformed is told', () => {
  test.each([
    ['/v2/UPPER/app/blobs/x?ns=r.io', 400, 'NAME_INVALID'],
    ['/v2/../app/manifests/1?ns=r.io', 400, 'NAME_INVALID'],
    ['/v2/%2e%2e/app/manifests/1?ns=r.io', 400, 'NAME_INVALID'],
    ['/v2/app/manifests/1?ns=http://r.io', 400, 'NAME_INVALID'],
    ['/v2/app/manifests/1?ns=user:secret@r.io', 400, 'NAME_INVALID'],
    ['/v2/app/manifests/1?ns=', 400, 'NAME_INVALID'],
    ['/v2/app/manifests/%ff?ns=r.io', 400, 'NAME_INVALID'],
    ['/v2/ghcr.io/manifests/1', 400, 'NAME_INVALID'],
    ['/v2/app/manifests/-1?ns=r.io', 400, 'TAG_INVALID'],
    ['/v2/app/manifests/sha256:12?ns=r.io', 400, 'DIGEST_INVALID'],
    ['/v2/app/blobs/latest?ns=r.io', 400, 'DIGEST_INVALID'],
    [`/v2/app/blobs/${DIGEST.toUpperCase()}?ns=r.io`, 400, 'DIGEST_INVALID'],
    ['/v2/app/blobs/uploads/?ns=r.io', 404, 'UNSUPPORTED'],
    ['/v2/_catalog', 404, 'UNSUPPORTED'],
  ])('%s', (target, status, code) => {
    expect(() => parseDoorRequest(target, undefined)).toThrow(expect.objectContaining({ status, code }));
  });

  test('whatever is sent, the answer is a request or an OCI error', () => {
    const part = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.constantFrom(
        'v2',
        'blobs',
        'manifests',
        'tags',
        'list',
        'referrers',
        'a',
        'r.io',
        '%',
        '?',
        '?ns=',
        DIGEST,
      ),
    );
    expect(() =>
      fc.assert(
        fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
          try {
            const { caller } = parseDoorRequest(`/v2/${parts.join('/')}`, undefined);
            return /^[a-z0-9]/u.test(caller.repository) && /^[a-z0-9[]/u.test(caller.registry);
          } catch (error) {
            return error instanceof OciError;
          }
        }),
      ),
    ).not.toThrow();
  });
});
