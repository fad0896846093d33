import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { succeedsOrThrows } from './outcome.ts';
import {
  detectManifestType,
  DOCKER_MANIFEST,
  isIndexType,
  isManifestType,
  ManifestError,
  OCI_INDEX,
  OCI_MANIFEST,
} from '#registry/media-types.ts';
import { OciError, ociErrorBody, parseOciErrors, unauthorized } from '#registry/oci-error.ts';
import { describeError, redactText, redactUrl } from '#registry/redact.ts';
import { backoffMs, isTemporaryError, parseRetryAfter } from '#registry/retry.ts';

const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

describe('the type of a manifest', () => {
  test.each([
    [{ mediaType: DOCKER_MANIFEST, layers: [] }, DOCKER_MANIFEST],
    [{ schemaVersion: 2, config: {}, layers: [] }, OCI_MANIFEST],
    [{ schemaVersion: 2, manifests: [] }, OCI_INDEX],
  ])('%j is %s', (manifest, type) => {
    expect(detectManifestType(bytes(manifest))).toBe(type);
  });

  test.each([
    {},
    [],
    null,
    7,
    { layers: [], manifests: [] },
    { mediaType: 7 },
    { mediaType: 'a\r\nb: c' },
    { layers: {} },
  ])('%j is refused', (manifest) => {
    expect(() => detectManifestType(bytes(manifest))).toThrow(ManifestError);
  });

  test('of any bytes is found or refused with its own error', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (data) => {
          expect(succeedsOrThrows(() => detectManifestType(data), ManifestError)).toBe(true);
        },
      ),
    );
  });

  test('is compared without parameters and case', () => {
    expect(isIndexType(`${OCI_INDEX.toUpperCase()}; charset=utf-8`)).toBe(true);
    expect(isManifestType(OCI_INDEX)).toBe(false);
  });
});

describe('an OCI error', () => {
  test('has the status of its code and the specified body', () => {
    const error = new OciError('BLOB_UNKNOWN', 'no such blob', { detail: { digest: 'x' } });
    expect(error.status).toBe(404);
    expect(ociErrorBody(error)).toEqual({
      errors: [{ code: 'BLOB_UNKNOWN', message: 'no such blob', detail: { digest: 'x' } }],
    });
  });

  test('relays the challenges as they came', () => {
    const error = unauthorized(['Bearer realm="https://a/"', 'Basic realm="b"']);
    expect([error.status, error.headers]).toEqual([
      401,
      { 'www-authenticate': ['Bearer realm="https://a/"', 'Basic realm="b"'] },
    ]);
  });

  test('of a remote is read in bounds, whatever it is', () => {
    expect(parseOciErrors(bytes({ errors: [{ code: 'DENIED', message: 'm'.repeat(5000) }, 7, {}] }))).toEqual(
      [{ code: 'DENIED', message: 'm'.repeat(1024) }],
    );
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(parseOciErrors(Buffer.from(text)).length).toBeLessThanOrEqual(16);
      }),
    );
  });

  test('we write is read back', () => {
    const error = new OciError('DENIED', 'no');
    expect(parseOciErrors(bytes(ociErrorBody(error)))).toEqual([{ code: 'DENIED', message: 'no' }]);
  });
});

describe('a message', () => {
  test('shows no signature, password or token, and no control character', () => {
    expect(redactUrl('https://u:p@s3.example/a/b?X-Amz-Signature=secret#f')).toBe('https://s3.example/a/b?…');
    const text = redactText(
      'see https://u:pw@h/x?sig=secret and Bearer abcdefgh12345 or basic dXNlcjpwYXNz\u001b[31m',
    );
    expect(text).toBe('see https://h/x?… and Bearer … or basic … [31m');
    expect(redactText('x'.repeat(1000))).toHaveLength(201);
  });

  test('of an error without text is its code', () => {
    expect(describeError(Object.assign(new AggregateError([], ''), { code: 'ECONNREFUSED' }))).toBe(
      'ECONNREFUSED',
    );
  });
});

describe('another attempt', () => {
  test('is worth it for what the table lists, however deep', () => {
    const reset = Object.assign(new Error('reset'), { code: 'ECONNRESET' });
    expect(isTemporaryError(new Error('outer', { cause: reset }))).toBe(true);
    expect(isTemporaryError(Object.assign(new Error('tls'), { code: 'CERT_HAS_EXPIRED' }))).toBe(false);
  });

  test('comes later each time, up to the cap, with jitter', () => {
    const most = { baseMs: 100, capMs: 1000, random: () => 1 };
    expect([1, 2, 3, 4, 5, 99].map((failures) => backoffMs(failures, most))).toEqual([
      100, 200, 400, 800, 1000, 1000,
    ]);
    expect(backoffMs(1, { ...most, random: () => 0 })).toBe(50);
  });

  test.each([
    ['7', 7],
    [' 0 ', 0],
    ['Thu, 01 Jan 1970 00:01:40 GMT', 90],
    ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
    ['99999999999', 86_400],
    ['soon', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('Retry-After %j is %j seconds', (header, seconds) => {
    expect(parseRetryAfter(header, 10_000)).toBe(seconds);
  });
});
