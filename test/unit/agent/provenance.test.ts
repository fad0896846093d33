import { expect, test } from 'vitest';
import { proveByRange } from '#agent/rights/provenance.ts';
import { UpstreamClient } from '#agent/upstream-client.ts';
import { Hosts } from '#registry/hosts.ts';
import { parseDigest } from '#registry/digest.ts';
import type { ByteRange } from '#registry/range.ts';
import { Upstream } from '#registry/upstream.ts';
import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { deterministicBytes, digestOf } from '../../support/bytes.ts';

const SIZE = 1024 * 1024;
const OURS = deterministicBytes('ours', SIZE);
const DIGEST = parseDigest(digestOf(OURS));

/** Puts the proof to a registry that has `theirs` by our digest; in each part of it the agent picks the place told. */
async function prove(
  theirs: Uint8Array | undefined,
  options: { pick?: (below: number) => number; ours?: Buffer } = {},
) {
  await using registry = await UpstreamRegistry.start();
  registry.content.addBlob('app', Buffer.from('so that the repository exists'));
  if (theirs !== undefined) registry.content.addBlob('app', theirs, DIGEST);
  await using hosts = new Hosts({ [registry.host]: { plainHttp: true } });
  await using upstream = new Upstream({ hosts }, { attempts: 1 });
  const { pick = () => 0, ours = OURS } = options;
  const parts = { upstream: new UpstreamClient(upstream), randomInt: pick };
  const held = {
    digest: DIGEST,
    size: ours.length,
    read: async ({ start, end }: ByteRange) => ours.subarray(start, end + 1),
  };
  const caller = { registry: registry.host, repository: 'app' };
  const proof = await proveByRange(parts, caller, held, AbortSignal.timeout(5_000));
  return { proof, asked: registry.log.entries.map(({ range }) => range) };
}

test('a registry with the same bytes proves it with ranges that the agent picked in all parts of them', async () => {
  const { proof, asked } = await prove(OURS, { pick: () => 4321 });
  expect(proof).toEqual({ kind: 'proved' });
  const starts = Array.from({ length: 8 }, (_, part) => (part * SIZE) / 8 + 4321);
  expect(new Set(asked)).toEqual(new Set(starts.map((start) => `bytes=${start}-${start + 4095}`)));
  expect(asked).toHaveLength(8);
});

test('the last place that may be picked lies within the content', async () => {
  const { proof } = await prove(OURS, { pick: (below) => below - 1 });
  expect(proof).toEqual({ kind: 'proved' });
});

test('content of a few kilobytes is compared as a whole', async () => {
  const ours = OURS.subarray(0, 10_000);
  const { proof, asked } = await prove(ours, { ours });
  expect(proof).toEqual({ kind: 'proved' });
  expect(asked).toEqual(['bytes=0-9999']);
});

test.each([1, 4, 7])(
  'a registry that knows only %i eighths of it fails where it does not know on',
  async (known) => {
    const at = (SIZE * known) / 8;
    const theirs = Buffer.concat([OURS.subarray(0, at), deterministicBytes('rest', SIZE - at)]);
    expect((await prove(theirs)).proof).toMatchObject({ kind: 'refuted' });
  },
);

test('one wrong byte in a range refutes', async () => {
  const theirs = Buffer.from(OURS);
  theirs[SIZE / 2 + 7]! ^= 1;
  expect((await prove(theirs)).proof).toMatchObject({ kind: 'refuted' });
});

test('a registry with content of another size is refuted, whatever its bytes', async () => {
  const { proof } = await prove(Buffer.concat([OURS, Buffer.from('more')]));
  expect(proof).toMatchObject({ kind: 'refuted' });
});

test('a registry without the blob is a refusal, not a proof', async () => {
  const { proof } = await prove(undefined);
  expect(proof).toMatchObject({ kind: 'refused', refusal: { status: 404 } });
});

test('ranges that could be guessed are passed over', async () => {
  const padded = Buffer.concat([Buffer.alloc(SIZE / 2), OURS.subarray(SIZE / 2)]);
  const { proof, asked } = await prove(padded, { ours: padded });
  expect(proof).toEqual({ kind: 'proved' });
  expect(asked).toHaveLength(4);
});

test('content that can be guessed everywhere proves nothing, and the registry is not asked', async () => {
  const zeros = Buffer.alloc(SIZE);
  const { proof, asked } = await prove(zeros, { ours: zeros });
  expect(proof).toMatchObject({ kind: 'refuted' });
  expect(asked).toEqual([]);
});
