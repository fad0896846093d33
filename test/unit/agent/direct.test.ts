import { expect, test } from 'vitest';
import { passVerified } from '#agent/pull/direct.ts';
import { digestOf } from '#registry/digest.ts';
import { deterministicBytes } from '../../support/bytes.ts';

const MIB = 1024 * 1024;
const BLOB = deterministicBytes('direct', 3 * MIB + 5);

/** A body as upstream sends it, each chunk in memory of its own. */
async function* body(bytes: Buffer, chunk = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunk)
    yield new Uint8Array(bytes.subarray(at, at + chunk)).slice();
}

async function read(start: number, end: number, bytes = BLOB): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of passVerified(body(bytes), digestOf(BLOB), BLOB.length, { start, end }))
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

test.each([
  ['all of it', 0, BLOB.length - 1],
  ['the end', BLOB.length - 10, BLOB.length - 1],
  ['a part that begins behind the first bytes that come', 2 * MIB, 2 * MIB + 99],
  ['a part over several chunks', 100_000, 2 * MIB],
])('%s is what a reader of that range gets of the registry’s own body', async (_what, start, end) => {
  expect((await read(start, end)).equals(BLOB.subarray(start, end + 1))).toBe(true);
});

test('a body of other bytes never ends cleanly', async () => {
  const other = Buffer.from(BLOB);
  other[5]! ^= 1;
  await expect(read(0, BLOB.length - 1, other)).rejects.toThrow(/are not those of/);
});
