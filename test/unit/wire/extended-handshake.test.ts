import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { onlyThrows } from './only-throws.ts';
import { BencodeError, encodeBencode } from '#swarm/hashes/bencode.ts';
import { decodeExtendedHandshake, encodeExtendedHandshake } from '#swarm/wire/extended-handshake.ts';

const shoal = { role: 'origin', blockLength: 128 * 1024, node: 'node-1', zone: 'eu/a' } as const;

function proposed(blockLength: number): number | undefined {
  const bytes = encodeExtendedHandshake({}, { ...shoal, blockLength });
  return decodeExtendedHandshake(bytes, true).handshake.shoal?.blockLength;
}

describe('the extended handshake', () => {
  test('members tell each other role, block length, node and Shoal messages', () => {
    const bytes = encodeExtendedHandshake({ metadataSize: 300, uploadOnly: true }, shoal);
    const { handshake } = decodeExtendedHandshake(bytes, true);
    expect(handshake).toEqual({
      shoal,
      requestQueue: 512,
      metadataSize: 300,
      uploadOnly: true,
      extensions: new Set(['ut_metadata', 'shoal_hash_request', 'shoal_hashes', 'shoal_want']),
    });
  });

  test.each([
    [20_000, 16_384],
    [100_000, 98_304],
    [1, 16_384],
  ])('a member that takes blocks of %i bytes is asked for blocks of %i, on the grid', (block, agreed) => {
    expect(proposed(block)).toBe(agreed);
  });

  test('strangers are told nothing of the cluster', () => {
    const text = encodeExtendedHandshake({}, undefined).toString();
    expect(text).not.toMatch(/shoal|origin|node-1|eu.a/u);
    expect(decodeExtendedHandshake(Buffer.from(text), false).handshake.extensions).toEqual(
      new Set(['ut_metadata']),
    );
  });

  test("a stranger's claim to be a Shoal peer does not count", () => {
    const { handshake, ids } = decodeExtendedHandshake(encodeExtendedHandshake({}, shoal), false);
    expect(handshake.shoal).toBeUndefined();
    expect([...ids.keys()]).toEqual(['ut_metadata']);
  });

  test('nonsense counts as absent', () => {
    const bytes = encodeBencode({
      m: { ut_metadata: 300, shoal_want: 'x', shoal_hashes: -1 },
      metadata_size: 1e12,
      reqq: -5,
      shoal: { role: 'king', block: 1 },
      upload_only: 'yes',
    });
    const { handshake } = decodeExtendedHandshake(bytes, true);
    expect(handshake).toEqual({ requestQueue: 250, uploadOnly: false, extensions: new Set() });
  });

  test('a block length is kept between 16 KiB and 256 KiB', () => {
    expect([1, 65_536, 2 ** 30].map(proposed)).toEqual([16_384, 65_536, 262_144]);
  });

  test('any bytes are understood or refused as malformed', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.string().map((text) => Buffer.from(`d1:m${text}e`)),
        ),
        (bytes) => {
          expect(onlyThrows(BencodeError, () => decodeExtendedHandshake(bytes, true))).toBe(true);
        },
      ),
    );
  });
});
