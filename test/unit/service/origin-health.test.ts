import { expect, test } from 'vitest';
import { OriginHealth } from '#service/origin-health.ts';

test('an origin that failed is left alone, longer with each failure in a row, at most 15 s, and asked at once when it answered', () => {
  let now = 0;
  const health = new OriginHealth(
    () => now,
    () => 0.999_999,
  );
  const silence = (): number => {
    const from = now;
    health.failed('a');
    while (!health.isUsable('a')) now += 10;
    return now - from;
  };
  expect([silence(), silence(), silence()]).toEqual([500, 1000, 2000]);
  for (let n = 0; n < 20; n += 1) silence();
  expect(silence()).toBe(15_000);
  health.failed('a');
  expect(health.isUsable('b')).toBe(true);
  health.succeeded('a');
  expect(health.isUsable('a')).toBe(true);
  expect(silence()).toBe(500);
});

test('origins that failed and are gone for good make room for others', () => {
  const health = new OriginHealth(
    () => 0,
    () => 0,
  );
  for (let n = 0; n <= 512; n++) health.failed(`10.0.${n >> 8}.${n & 255}:29520`);
  expect(health.isUsable('10.0.0.0:29520')).toBe(true);
  expect(health.isUsable('10.0.2.0:29520')).toBe(false);
});

test('those who lost an origin together do not come back together', () => {
  let now = 0;
  const early = new OriginHealth(
    () => now,
    () => 0,
  );
  early.failed('a');
  expect(early.isUsable('a')).toBe(false);
  now = 250;
  expect(early.isUsable('a')).toBe(true);
});
