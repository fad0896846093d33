import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { outcome } from './outcome.ts';
import { digestOf } from '#registry/digest.ts';
import {
  formatReference,
  parseReference,
  parseRegistryHost,
  parseRepository,
  parseTag,
  ReferenceError,
} from '#registry/reference.ts';

const DIGEST = digestOf('x');

describe('a reference', () => {
  test.each([
    ['nginx', 'docker.io/library/nginx:latest'],
    ['nginx:1.27', 'docker.io/library/nginx:1.27'],
    ['docker.io/nginx', 'docker.io/library/nginx:latest'],
    ['index.docker.io/nginx', 'docker.io/library/nginx:latest'],
    ['org/app', 'docker.io/org/app:latest'],
    ['ghcr.io/org/app:v1', 'ghcr.io/org/app:v1'],
    ['GHCR.io/org/app:V1', 'ghcr.io/org/app:V1'],
    ['localhost/app', 'localhost/app:latest'],
    ['localhost:5000/a/b/c:t', 'localhost:5000/a/b/c:t'],
    ['10.0.0.1:5000/app', '10.0.0.1:5000/app:latest'],
    ['[::1]:5000/app', '[::1]:5000/app:latest'],
    [`app@${DIGEST}`, `docker.io/library/app@${DIGEST}`],
    [`ghcr.io/org/app:v1@${DIGEST}`, `ghcr.io/org/app:v1@${DIGEST}`],
    ['a__b/c.d-e--f', 'docker.io/a__b/c.d-e--f:latest'],
  ])('%s means %s', (text, full) => {
    expect(formatReference(parseReference(text))).toBe(full);
  });

  test.each([
    '',
    '/',
    ':',
    '@',
    'a/',
    '/a',
    'a//b',
    'app:',
    'app@',
    'App',
    'ghcr.io/',
    'ghcr.io/App',
    'a___b',
    '-a',
    'a-',
    'app:.tag',
    'app:-tag',
    `app:${'t'.repeat(129)}`,
    'app@sha256:12',
    `app@${DIGEST}@${DIGEST}`,
    'a b',
    'a\n',
    'host:0/app',
    'host:65536/app',
    'host:/app',
    '[::1/app',
    '[zz]:1/app',
    '-host.io/app',
    'ho..st/app',
    '../../etc',
    'ghcr.io/../../v2',
    'ghcr.io/a%2fb',
    'https://ghcr.io/app',
    `${'a/'.repeat(128)}a`,
    'x'.repeat(100_000),
  ])('%j is refused', (text) => {
    expect(() => parseReference(text)).toThrow(ReferenceError);
  });

  test('has at most 255 characters of repository and 128 of tag', () => {
    const repository = `a/${'b'.repeat(253)}`;
    expect(parseRepository(repository)).toBe(repository);
    expect(() => parseRepository(`${repository}b`)).toThrow('at most 255');
    expect(parseTag('t'.repeat(128))).toHaveLength(128);
  });

  test('of any text is read or refused with its own error; what is read in full is read again the same', () => {
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.stringMatching(/^[a-cA-C0-9.:/@_[\]-]{0,40}$/u),
      fc.stringMatching(/^([a-c.]{1,5}(:[0-9]{1,6})?\/)?[a-c_.-]{1,9}(\/[a-c]{1,3})?(:[a-c.]{1,3})?$/u),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const { value, error } = outcome(() => parseReference(text));
        const again = value === undefined ? undefined : parseReference(formatReference(value));
        expect(again).toEqual(value);
        expect(error === undefined || error instanceof ReferenceError).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test('made of parts in the grammar is always read', () => {
    const part = fc.stringMatching(/^[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}$/u);
    const host = fc.stringMatching(/^[a-z0-9]{1,8}\.[a-z]{2,5}(:[1-9][0-9]{0,3})?$/u);
    const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}$/u);
    fc.assert(
      fc.property(host, fc.array(part, { minLength: 1, maxLength: 4 }), tag, (registry, parts, name) => {
        fc.pre(registry !== 'docker.io');
        const repository = parts.join('/');
        expect(parseReference(`${registry}/${repository}:${name}`)).toEqual({
          registry,
          repository,
          tag: name,
        });
        expect(parseRegistryHost(registry)).toBe(registry);
      }),
    );
  });
});
