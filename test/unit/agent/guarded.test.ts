import { expect, test } from 'vitest';
import { readGuarded } from '#agent/pull/streams.ts';
import type { Proof } from '#agent/rights/provenance.ts';

const CONTENT = Buffer.from('what the registry has');

/** What a reader gets of chunks of five bytes, of which those from `foreign` on came from elsewhere than the registry. */
async function read(foreign: number, proof: Proof): Promise<string> {
  let given = 0;
  const chunks = readGuarded(
    {
      async *swarm() {
        for (; given < CONTENT.length; given += 5) yield Buffer.from('-----');
      },
      isOwn: () => given < foreign,
      prove: async () => proof,
      async *direct(without) {
        yield CONTENT.subarray(without);
      },
    },
    () => {},
  );
  const got: Buffer[] = [];
  for await (const chunk of chunks) got.push(chunk);
  return Buffer.concat(got).toString();
}

const refuted: Proof = { kind: 'refuted', reason: 'other bytes' };

test('of bytes that the registry does not have none goes out: the reader gets the registry’s own', async () => {
  expect(await read(0, refuted)).toBe(CONTENT.toString());
});

test('where the registry’s own have gone out already, the reader gets the rest of them', async () => {
  expect(await read(10, refuted)).toBe(`----------${CONTENT.subarray(10).toString()}`);
});

test('an upstream that cannot be asked proves nothing, and nothing goes out', async () => {
  await expect(read(0, { kind: 'unreachable', cause: new Error('gone') })).rejects.toThrow(/did not prove/);
});
