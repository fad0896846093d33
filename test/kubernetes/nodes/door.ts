import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, test } from 'vitest';

import { words } from '../../runtimes/program.ts';
import { object } from '../api/cluster.ts';
import { MACHINE } from './network.ts';
import type { Node } from './node.ts';
import type { Rig } from './rig.ts';

const PORT = 29_500;
const SERVICES = '/api/v1/namespaces/default/services';
const SLICES = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
const PORTS = [{ name: 'http', port: PORT }];

/** What a program of the node reads where its runtime asks: the manifest of an image that Shoal can read. */
function readByDoor(node: Node): Promise<string> {
  const url = `http://127.0.0.1:${PORT}/v2/team/trusted/manifests/v1?ns=${MACHINE.publicRegistry}`;
  return node.exec([...words('busybox wget -q -O -'), url]);
}

/** The failure of a connection to the door's port. */
async function failureOf(host: string): Promise<unknown> {
  const socket = connect({ host, port: PORT });
  const [error]: unknown[] = await once(socket, 'error');
  return error;
}

/** A Service that would have what comes to it answered elsewhere. */
async function offerThief({ ask }: Rig, spec: object): Promise<void> {
  await ask('POST', SERVICES, object('v1', 'Service', 'thief', { spec: { ports: PORTS, ...spec } }));
  const slice = {
    metadata: { labels: { 'kubernetes.io/service-name': 'thief' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [MACHINE.controlPlane] }],
    ports: PORTS,
  };
  await ask('POST', SLICES, object('discovery.k8s.io/v1', 'EndpointSlice', 'thief', slice));
}

export function door(cluster: () => Rig): void {
  test('nobody reaches the door from outside its node', async () => {
    for (const { address } of cluster().nodes)
      expect(await failureOf(address)).toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('no Service takes the door’s port: neither as node port nor as an external address', async () => {
    const rig = cluster();
    const asNodePort = { type: 'NodePort', ports: [{ ...PORTS[0], nodePort: PORT }] };
    await expect(offerThief(rig, asNodePort)).rejects.toThrow(/not in the valid range/u);
    await expect(offerThief(rig, { externalIPs: ['127.0.0.1'] })).rejects.toThrow(/loopback/u);
    // The nodes' own addresses it takes, and captures; the door is not there.
    await offerThief(rig, { externalIPs: rig.nodes.map(({ address }) => address) });
    for (const node of rig.nodes) {
      await expect.poll(() => node.exec(words('iptables-save --table nat'))).toContain('default/thief');
      expect(await readByDoor(node)).toContain('"schemaVersion":2');
    }
    await rig.ask('DELETE', `${SERVICES}/thief`);
  });
}
