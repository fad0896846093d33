import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { MAX_FACT_LENGTH, MAX_FACTS } from '#swarm/store/constants.ts';
import { decodeFacts, encodeFacts, mergeFacts, NO_FACTS } from '#swarm/store/facts.ts';

const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 40 }), { maxLength: 20 });

test('facts are read back as they were written', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), names, names, fc.option(fc.string({ minLength: 1 })), (size, a, b, type) => {
      const facts = mergeFacts(NO_FACTS, {
        registries: a,
        repositories: b,
        ...(type ? { mediaType: type } : {}),
      });
      expect(facts.registries).toEqual(a);
      expect(decodeFacts(encodeFacts(size, facts))).toEqual({ size, facts });
    }),
  );
});

test('a facts file of anything else is none, and nothing throws', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      expect(decodeFacts(text)?.size ?? 0).toBeGreaterThanOrEqual(0);
    }),
  );
  expect(decodeFacts('')).toBeUndefined();
  expect(decodeFacts('{"size":-1,"registries":[],"repositories":[]}')).toBeUndefined();
  expect(decodeFacts('{"size":1,"registries":{},"repositories":[]}')).toBeUndefined();
  expect(decodeFacts('{"size":1,"registries":[7,"r"],"repositories":[null]}')).toEqual({
    size: 1,
    facts: { registries: ['r'], repositories: [] },
  });
});

test('of more than the bound, the oldest go; overlong ones do not come in', () => {
  let facts = NO_FACTS;
  for (let i = 0; i < MAX_FACTS + 10; i += 1) facts = mergeFacts(facts, { repositories: [`r/${i}`] });
  expect(facts.repositories).toHaveLength(MAX_FACTS);
  expect(facts.repositories[0]).toBe('r/10');
  expect(mergeFacts(facts, { repositories: ['r/20'] })).toBe(facts);
  expect(mergeFacts(facts, { registries: ['x'.repeat(MAX_FACT_LENGTH + 1)] })).toBe(facts);
});
