import { expect, test } from 'vitest';

import { run, words } from '../../runtimes/program.ts';
import { MACHINE } from './network.ts';
import type { Rig } from './rig.ts';
import { readersOf } from './upstream.ts';
import { ALICE } from './upstreams.ts';
import { createPullSecret, podRuns, pullFails } from './workloads.ts';

const LAYERS = [3_000_000];
const REFUSED = /401|unauthorized|authorization failed|denied/iu;
/** Of connections that are begun, the first in so many is lost. */
const EVERY = 1_000_000;

export function privateImages(cluster: () => Rig): void {
  test.each([
    { kind: 'password', registry: MACHINE.passwordRegistry },
    { kind: 'token', registry: MACHINE.tokenRegistry },
  ] as const)(
    'a $kind registry: who has the right secret runs it, nobody else does',
    async ({ kind, registry }) => {
      const rig = cluster();
      const [first, second] = rig.nodes;
      const { reference, image } = await rig.upstreams[kind].push({
        repository: `team/${kind}`,
        layers: LAYERS,
      });
      await createPullSecret(rig, `${kind}-right`, { registry, ...ALICE });
      await createPullSecret(rig, `${kind}-wrong`, { registry, user: ALICE.user, password: 'wrong' });
      const pod = { image: reference, node: first!.name };

      expect(await pullFails(rig, { ...pod, name: `${kind}-none-before` })).toMatch(REFUSED);
      const right = await podRuns(rig, { ...pod, name: `${kind}-right`, pullSecret: `${kind}-right` });
      expect(right.digest).toBe(image.index.digest);
      // Shoal's store on that node holds it now, and the other's does not.
      for (const node of [first!, second!]) {
        const name = `${kind}-${node.name}`;
        expect(await pullFails(rig, { image: reference, node: node.name, name: `${name}-none` })).toMatch(
          REFUSED,
        );
        const wrong = {
          image: reference,
          node: node.name,
          name: `${name}-wrong`,
          pullSecret: `${kind}-wrong`,
        };
        expect(await pullFails(rig, wrong)).toMatch(REFUSED);
      }
      expect(readersOf(rig.upstreams[kind], `team/${kind}`)).toEqual(['shoal']);
    },
  );

  test('a realm whose first SYN is lost: the pull waits for it, and comes through Shoal', async () => {
    const rig = cluster();
    const repository = 'team/syn';
    const { reference } = await rig.upstreams.token.push({ repository, layers: LAYERS });
    const lost = words(
      `INPUT --destination ${MACHINE.tokenRealm} --protocol tcp --syn --match statistic --mode nth --every ${EVERY} --packet 0 --jump DROP`,
    );
    await run(['iptables', '--append', ...lost]);
    try {
      const node = rig.nodes[2]!.name;
      await podRuns(rig, { name: 'syn', image: reference, node, pullSecret: 'token-right' });
      expect(await run(words('iptables --list INPUT --verbose --exact --numeric'))).toMatch(/^ *1 .* DROP/mu);
    } finally {
      await run(['iptables', '--delete', ...lost]);
    }
    expect(readersOf(rig.upstreams.token, repository)).toEqual(['shoal']);
  });
}
