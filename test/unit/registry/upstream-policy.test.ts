import { expect, test } from 'vitest';
import { UpstreamPolicy } from '#registry/upstream-policy.ts';

test('registries that the operator does not allow are not asked', () => {
  expect(allowed('ghcr.io', [])).toBe(true);
  expect(allowed('ghcr.io', ['docker.io'])).toBe(false);
  expect(allowed('a.example.com:5000', ['*.example.com'])).toBe(true);
  expect(allowed('example.com', ['*.example.com'])).toBe(false);
  expect(allowed('evilexample.com', ['*.example.com'])).toBe(false);
  expect(allowed('ghcr.io', ['ghcr.io'], ['ghcr.io'])).toBe(false);
  expect(allowed('ghcr.io:5000', ['GHCR.io'])).toBe(true);
  expect(allowed('ghcr.io:5000', [], ['ghcr.io:5001'])).toBe(true);
});

function allowed(registry: string, allow: string[], deny: string[] = []): boolean {
  try {
    new UpstreamPolicy({ allow, deny }).check(registry);
    return true;
  } catch {
    return false;
  }
}
