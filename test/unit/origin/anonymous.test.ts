import { expect, test } from 'vitest';
import { AnonymousRepositories } from '#origin/anonymous.ts';
import type { Caller } from '#origin/caller.ts';
import { parseDigest } from '#registry/digest.ts';
import type { Upstream } from '#registry/upstream.ts';
import { until } from './origin-fixture.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const NOBODY: Caller = { registry: 'r.io', repository: 'app', positive: false };
const RESOURCE = { kind: 'blob', reference: parseDigest(`sha256:${'a'.repeat(64)}`) } as const;

test('a repository that refuses a caller without a credential is looked at again, and no longer taken to be anyone’s', async () => {
  await using directory = await temporaryDirectory('anonymous');
  let now = 1_000_000;
  let asked = 0;
  let isPublic = true;
  const head: Upstream['head'] = async () => {
    asked += 1;
    return isPublic
      ? { ok: true, status: 200, headers: {} }
      : {
          ok: false,
          kind: 'refused',
          status: 401,
          challenges: [],
          errors: [],
          body: Buffer.alloc(0),
          headers: {},
          redirected: false,
        };
  };
  await using repositories = await AnonymousRepositories.open(
    { upstream: { head }, events: { failed: () => {} }, now: () => now },
    directory.join('anonymous.json'),
  );
  repositories.served(NOBODY, RESOURCE, true);
  expect(repositories.since(NOBODY)).toBe(1000);

  // So soon it proves nothing new; a credential's refusal never does.
  repositories.refused(NOBODY, RESOURCE);
  now += 60_000;
  repositories.refused({ ...NOBODY, authorization: 'Bearer revoked' }, RESOURCE);
  expect(asked).toBe(0);

  // A registry with tokens: anyone still gets one.
  repositories.refused(NOBODY, RESOURCE);
  await until('it was looked at', () => repositories.since(NOBODY) === 1060);
  isPublic = false;
  now += 60_000;
  repositories.refused(NOBODY, RESOURCE);
  await until('it is not anyone’s', () => repositories.since(NOBODY) === undefined);
  expect(asked).toBe(2);
});
