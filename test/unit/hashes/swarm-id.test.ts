import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { liveSwarmId, verifiedSwarmId } from '#swarm/hashes/swarm-id.ts';

const EMPTY = digestOf('');

test('swarm ids are those of every other version of Shoal', () => {
  expect(verifiedSwarmId(EMPTY).toString('hex')).toBe('35c6256107a5afa41415c9593ba03f33ec124c1d');
  expect(liveSwarmId(EMPTY, 'ghcr.io').toString('hex')).toBe('956d3d428adaf0450b18d313cf95fd8c58a36f13');
});

test('each digest and registry has its own swarm', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.stringMatching(/^[a-z.:0-9]{1,12}$/u), { minLength: 2, maxLength: 5 }),
      (registries) => {
        const ids = registries.flatMap((registry) => [
          liveSwarmId(EMPTY, registry),
          verifiedSwarmId(digestOf(registry)),
        ]);
        expect(new Set(ids.map((id) => id.toString('hex'))).size).toBe(2 * registries.length);
        expect(ids.every((id) => id.length === 20)).toBe(true);
      },
    ),
  );
});

test('no registry name can stand for another by its separators', () => {
  expect(() => liveSwarmId(EMPTY, 'a\0b')).toThrow('NUL');
});
