import { expect, test } from 'vitest';

import { eventually } from '../../runtimes/program.ts';
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

export function membership(cluster: () => Rig): void {
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
