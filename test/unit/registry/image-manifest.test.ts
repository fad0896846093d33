import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { choosePlatform, parseManifest } from '#registry/image-manifest.ts';
import { formatPlatform, hostPlatform, parsePlatform } from '#registry/platform.ts';
import { describeSources } from '#cli/fetch/sources.ts';
import { digestOf } from '#registry/digest.ts';
import { ManifestError, OCI_INDEX, OCI_MANIFEST } from '#registry/media-types.ts';

const descriptor = { mediaType: 'a/b', digest: digestOf('x'), size: 1 };
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

function entry(platform: string, content = platform) {
  const parsed = parsePlatform(platform);
  return {
    mediaType: OCI_MANIFEST,
    digest: digestOf(content),
    size: 1,
    annotations: {},
    ...(parsed && { platform: parsed }),
  };
}

describe('a manifest', () => {
  test('is read with its config, layers and annotations', () => {
    const layer = { ...descriptor, annotations: { title: 't', wrong: 3 } };
    expect(parseManifest(bytes({ schemaVersion: 2, config: descriptor, layers: [layer] }))).toEqual({
      kind: 'image',
      mediaType: OCI_MANIFEST,
      config: { ...descriptor, annotations: {} },
      layers: [{ ...descriptor, annotations: { title: 't' } }],
    });
  });

  test.each([
    [{ config: descriptor, layers: 'x' }, /has neither|is not a list/],
    [{ config: descriptor, layers: [7] }, 'layers[0]" is not a descriptor'],
    [
      { config: descriptor, layers: [{ ...descriptor, digest: 'md5:1' }] },
      'layers[0]" has no digest that can be verified',
    ],
    [{ config: descriptor, layers: [{ ...descriptor, size: -1 }] }, 'layers[0]" has no size'],
    [{ config: descriptor, layers: [{ ...descriptor, size: 1.5 }] }, 'layers[0]" has no size'],
    [{ config: { ...descriptor, mediaType: 1 }, layers: [] }, 'config" has no mediaType'],
    [{ config: descriptor, layers: Array.from({ length: 5000 }, () => descriptor) }, 'at most 4096'],
    [{ mediaType: 'application/vnd.docker.distribution.manifest.v1+json', layers: [] }, 'cannot be fetched'],
    [{ mediaType: OCI_INDEX, manifests: 3 }, 'is not a list'],
    ['no object', 'is not a JSON object'],
  ])('like %j is refused', (value, message) => {
    expect(() => parseManifest(bytes(value))).toThrow(message);
  });

  test('of any JSON is read or refused with an error of its own', () => {
    const field = fc.oneof(
      fc.jsonValue(),
      fc.constant(descriptor),
      fc.array(fc.constant(descriptor), { maxLength: 3 }),
    );
    const documents = fc.record(
      { mediaType: fc.constantFrom(OCI_INDEX, OCI_MANIFEST), config: field, layers: field, manifests: field },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(documents, fc.jsonValue()), (value) => {
        let outcome: unknown;
        try {
          outcome = parseManifest(bytes(value)).kind;
        } catch (error) {
          outcome = error;
        }
        expect(outcome === 'image' || outcome === 'index' || outcome instanceof ManifestError).toBe(true);
      }),
    );
  });
});

describe('of an index', () => {
  const all = [
    entry('linux/amd64'),
    entry('linux/arm/v6'),
    entry('linux/arm/v7'),
    entry('linux/arm64/v8'),
    entry('unknown/unknown'),
  ];
  const choose = (text: string) => choosePlatform(all, parsePlatform(text) ?? hostPlatform(), true);

  test('the platform asked for is chosen, with the variant where one is named', () => {
    expect(choose('linux/amd64')).toBe(all[0]);
    expect(choose('linux/arm/v7')).toBe(all[2]);
    expect(choose('linux/arm')).toBe(all[1]);
    expect(choose('linux/arm64')).toBe(all[3]);
  });

  test('another variant, system or architecture is not taken for it', () => {
    expect(() => choose('linux/arm/v5')).toThrow(
      '"linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8"',
    );
    expect(() => choose('windows/amd64')).toThrow('there is nothing for windows/amd64');
  });

  test('the only one is taken whatever it is for, unless a platform was named', () => {
    const only = [entry('none', 'artifact')];
    expect(choosePlatform(only, hostPlatform(), false)).toBe(only[0]);
    expect(() => choosePlatform(only, hostPlatform(), true)).toThrow('there are none');
  });
});

test('a platform is written as it was read', () => {
  const part = fc.stringMatching(/^[a-z0-9]{1,8}$/);
  fc.assert(
    fc.property(part, part, fc.option(part), (os, architecture, variant) => {
      const text = [os, architecture, ...(variant === null ? [] : [variant])].join('/');
      expect(formatPlatform(parsePlatform(text) ?? hostPlatform())).toBe(text);
    }),
  );
  expect(['linux', '', 'linux/', 'a/b/c/d', 'Linux/amd64'].map(parsePlatform)).toEqual(
    Array(5).fill(undefined),
  );
});

test('shares are told in whole percents of what is known', () => {
  expect(describeSources({ cache: 0, peer: 0, origin: 0, upstream: 0 })).toBeUndefined();
  expect(describeSources({ cache: 1, peer: 1, origin: 1, upstream: 1 })).toBe(
    '25 % from cache, 25 % from peers, 25 % from origin, 25 % from upstream',
  );
  expect(describeSources({ cache: 0, peer: 5, origin: 0, upstream: 0 })).toBe('100 % from peers');
});
