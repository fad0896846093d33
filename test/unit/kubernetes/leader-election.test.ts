import { expect, test } from 'vitest';

import type { KubernetesApi } from '#kubernetes/api.ts';
import { LeaderElection } from '#kubernetes/leader-election.ts';

test('a lease that ends while it is looked at is not led by until it was written', async () => {
  const seen: string[] = [];
  const lease = {
    metadata: { resourceVersion: '1' },
    spec: { holderIdentity: 'other', renewTime: 'then', leaseDurationSeconds: 1 },
  };
  const api: Pick<KubernetesApi, 'ask'> = {
    ask: ({ method }) => {
      seen.push(method);
      return method === 'GET' ? Promise.resolve(lease) : Promise.reject(new Error('no way through'));
    },
  };
  // Each look at the clock is late by more than half of the lease's duration.
  let clock = 0;
  await using _election = new LeaderElection(
    {
      api,
      now: () => (clock += 600),
      wallClock: Date.now,
      random: () => 0,
      onChange: (leads) => seen.push(`leads: ${leads}`),
      onFailure: () => undefined,
    },
    { namespace: 'default', name: 'lease', identity: 'us' },
    () => Promise.resolve(),
  );
  await expect.poll(() => seen, { timeout: 5000 }).toContain('PUT');
  expect(seen).toEqual(['GET', 'GET', 'PUT']);
});
