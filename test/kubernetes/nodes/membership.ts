import { expect, test } from 'vitest';

import { eventually, words } from '../../runtimes/program.ts';
import { part } from '../api/cluster.ts';
import type { Rig } from './rig.ts';
import { agentStatus, rolledOut } from './shoal.ts';

const ENDPOINTS = '/apis/discovery.k8s.io/v1/namespaces/shoal/endpointslices';
const SOON_MS = 5000;
/** Of looking at the API server and at the agents. */
const STEP_MS = 50;

async function addressesOf({ ask }: Rig, service: string): Promise<string[]> {
  const selector = encodeURIComponent(`kubernetes.io/service-name=${service}`);
  const slices = part(await ask('GET', `${ENDPOINTS}?labelSelector=${selector}`), 'items');
  const endpoints = (Array.isArray(slices) ? slices : []).flatMap((slice) => part(slice, 'endpoints') ?? []);
  return endpoints.map((endpoint) => String(part(endpoint, 'addresses', 0)));
}

const STATUS =
  '--namespace=shoal exec ds/shoal-agent --container=agent -- /usr/bin/node /opt/shoal/cli/shoal.js status --json';

export function membership(cluster: () => Rig): void {
  test('an agent tells by its own command whom it knows', async () => {
    const told: unknown = JSON.parse(await cluster().kubectl(...words(STATUS)));
    expect(part(told, 'trackers')).toMatchObject({ members: [expect.any(String)], reachable: true });
    expect(part(told, 'origins')).toMatchObject({
      members: [0, 1].map((index) => `shoal-origin-${index}.shoal-origin.shoal.svc.cluster.local:29520`),
      reachable: true,
    });
  });

  test('a new origin is known to every agent within 5 s, and so is its end', async () => {
    const rig = cluster();
    const known = async (): Promise<number[]> =>
      Promise.all(
        rig.nodes.map(async (node) => {
          const members = part(await agentStatus(node), 'origins', 'members');
          return Array.isArray(members) ? members.length : 0;
        }),
      );
    for (const count of [3, 2]) {
      await rig.kubectl('--namespace=shoal', 'scale', 'statefulset/shoal-origin', `--replicas=${count}`);
      await eventually(`${count} endpoints`, async () =>
        (await addressesOf(rig, 'shoal-origin')).length === count ? true : undefined,
      );
      const began = performance.now();
      await expect.poll(known, { interval: STEP_MS, timeout: SOON_MS }).toEqual(rig.nodes.map(() => count));
      console.log(
        `${count} origins: known to every agent ${Math.round(performance.now() - began)} ms after the API server`,
      );
    }
    await rolledOut(rig);
  });
}
