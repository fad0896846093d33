import { generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import {
  BatchError,
  openBatch,
  signBatch,
  type BatchSigner,
  type BatchVerifier,
  type HashBatch,
} from '#swarm/hashes/batch.ts';

function makeKey(): BatchSigner & BatchVerifier {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(12);
  return {
    raw,
    publicKey: raw,
    sign: (message) => sign(null, message, privateKey),
    verify: (message, signature) => verify(null, message, publicKey, signature),
  };
}

const KEY = makeKey();
const OTHER = makeKey();
const BATCH: HashBatch = {
  digest: digestOf('a layer'),
  scope: 'registry.example:5000',
  size: 10 * 262_144 - 5,
  pieceLength: 262_144,
  first: 4,
  links: randomBytes(7 * 32),
};

/** Signs a batch that `signBatch` would refuse. */
function forge(change: Partial<Record<'size' | 'pieceLength' | 'first' | 'count', number>>): Buffer {
  const bytes = signBatch(BATCH, KEY);
  const at = 2 + BATCH.digest.length + 1 + BATCH.scope.length;
  if (change.size !== undefined) bytes.writeBigUInt64BE(BigInt(change.size), at);
  if (change.pieceLength !== undefined) bytes.writeUInt32BE(change.pieceLength, at + 8);
  if (change.first !== undefined) bytes.writeUInt32BE(change.first, at + 12);
  if (change.count !== undefined) bytes.writeUInt16BE(change.count, at + 16);
  return bytes;
}

describe('a signed batch of hashes', () => {
  test('is opened by who trusts the signer, with the signer told', () => {
    const signed = signBatch(BATCH, KEY);
    expect(openBatch(signed, [OTHER, KEY])).toEqual({ ...BATCH, signer: Buffer.from(KEY.raw) });
  });

  test('keeps every field', () => {
    const batch = fc
      .record({
        digest: fc.string().map((text) => digestOf(text, 'sha512')),
        scope: fc.stringMatching(/^[a-z0-9.:-]{1,255}$/u),
        pieceLength: fc.integer({ min: 1, max: 16 * 1024 * 1024 }),
        count: fc.integer({ min: 1, max: 64 }),
        first: fc.nat({ max: 1_000_000 }),
      })
      .map(({ count, first, pieceLength, digest, scope }) => {
        const size = (first + count) * pieceLength;
        return { digest, scope, size, pieceLength, first, links: randomBytes(64 * (count + 1)) };
      });
    fc.assert(
      fc.property(batch, (given) => {
        expect(openBatch(signBatch(given, KEY), [KEY])).toMatchObject(given);
      }),
      { numRuns: 30 },
    );
  });

  test('is refused when any byte was changed, was lost or was added', () => {
    const signed = signBatch(BATCH, KEY);
    for (let at = 0; at < signed.length; at++) {
      const tampered = Buffer.from(signed);
      tampered[at]! ^= 1 << (at % 8);
      expect(() => openBatch(tampered, [KEY]), `byte ${at}`).toThrow(BatchError);
    }
    for (const bytes of [signed.subarray(1), signed.subarray(0, -1), Buffer.concat([signed, Buffer.of(0)])])
      expect(() => openBatch(bytes, [KEY])).toThrow(BatchError);
  });

  test("is refused of a signer that is not trusted, also under a trusted signer's name", () => {
    expect(() => openBatch(signBatch(BATCH, OTHER), [KEY])).toThrow('not trusted');
    expect(() => openBatch(signBatch(BATCH, KEY), [])).toThrow('not trusted');
    const posing = signBatch(BATCH, { publicKey: KEY.publicKey, sign: (message) => OTHER.sign(message) });
    expect(() => openBatch(posing, [KEY])).toThrow('signature');
  });

  test('is refused where its numbers make no sense', () => {
    expect(() => openBatch(forge({ first: 5 }), [KEY])).toThrow('pieces 5 to 10 of 10');
    expect(() => openBatch(forge({ first: 0xffff_ffff }), [KEY])).toThrow('of 10');
    expect(() => openBatch(forge({ pieceLength: 0 }), [KEY])).toThrow('pieces of 0 bytes');
    expect(() => openBatch(forge({ pieceLength: 0xffff_ffff }), [KEY])).toThrow('allowed');
    expect(() => openBatch(forge({ size: 0 }), [KEY])).toThrow('blob of 0 bytes');
    expect(() => openBatch(forge({ size: Number.MAX_SAFE_INTEGER + 1 }), [KEY])).toThrow(BatchError);
    expect(() => openBatch(forge({ count: 0 }), [KEY])).toThrow(BatchError);
    expect(() => openBatch(forge({ count: 65_535 }), [KEY])).toThrow('cut short');
  });

  test('is not signed out of bounds', () => {
    expect(() => signBatch({ ...BATCH, links: Buffer.alloc(65) }, KEY)).toThrow('pieces');
    expect(() => signBatch({ ...BATCH, links: Buffer.alloc(32) }, KEY)).toThrow('0 pieces');
    expect(() => signBatch({ ...BATCH, size: 1e10, first: 0, links: Buffer.alloc(4098 * 32) }, KEY)).toThrow(
      '1 to 4096',
    );
    expect(() => signBatch({ ...BATCH, scope: 'x'.repeat(256) }, KEY)).toThrow('scope');
    expect(() => signBatch({ ...BATCH, scope: '' }, KEY)).toThrow('scope');
    expect(() => openBatch(Buffer.alloc(140 * 1024), [KEY])).toThrow('allowed');
  });

  test('as large as allowed is opened', () => {
    const large = { ...BATCH, size: 4096 * 262_144, first: 0, links: randomBytes(4097 * 32) };
    expect(openBatch(signBatch(large, KEY), [KEY]).links.equals(large.links)).toBe(true);
  });

  test('is no signature for another purpose, nor the other way round', () => {
    const bare = signBatch(BATCH, {
      publicKey: KEY.publicKey,
      sign: (message) => KEY.sign(message.subarray(19)),
    });
    expect(() => openBatch(bare, [KEY])).toThrow('signature');
  });

  test('any bytes are refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(() => openBatch(bytes, [KEY])).toThrow(BatchError);
      }),
    );
  });
});
