import { eventually, run, words } from '../../runtimes/program.ts';

const BRIDGE = 'nodes';
/** What the machine is called on the nodes' network. */
export const MACHINE = {
  controlPlane: '10.77.0.1',
  publicRegistry: '10.77.0.2',
  passwordRegistry: '10.77.0.3',
  tokenRegistry: '10.77.0.4',
  tokenRealm: '10.77.0.5',
} as const;
export const POD_NET = '10.244.0.0/16';

export function nodeAddress(index: number): string {
  return `10.77.0.${10 + index}`;
}

/** Addresses of the node's pods. */
export function podNet(index: number): string {
  return `10.244.${index}.0/24`;
}

/** The bridge that nodes are plugged into, with the machine's addresses, in the network namespace of this process. */
export async function openNetwork(nodes: number): Promise<void> {
  await ip('link set lo up');
  await ip(`link add ${BRIDGE} type bridge`);
  for (const address of Object.values(MACHINE)) await ip(`address add ${address}/24 dev ${BRIDGE}`);
  await ip(`link set ${BRIDGE} up`);
  for (let index = 1; index <= nodes; index += 1)
    await ip(`route add ${podNet(index)} via ${nodeAddress(index)}`);
}

/** Plugs in the node whose process 1 has this pid. The cable goes with the node's network namespace. */
export async function plugIn(index: number, pid: number, nodes: number): Promise<void> {
  const cable = `cable${index}`;
  // That of a node that has just crashed may still be there.
  await eventually(`the cable of node ${index}`, () =>
    ip(`link add ${cable} type veth peer name eth0 netns ${pid}`).then(
      () => true,
      () => undefined,
    ),
  );
  await ip(`link set ${cable} master ${BRIDGE} up`);
  const inside = (text: string): Promise<string> =>
    run(['nsenter', `--net=/proc/${pid}/ns/net`, 'ip', ...words(text)]);
  await inside('link set lo up');
  await inside(`address add ${nodeAddress(index)}/24 dev eth0`);
  await inside('link set eth0 up');
  await inside(`route add default via ${MACHINE.controlPlane}`);
  for (let other = 1; other <= nodes; other += 1)
    if (other !== index) await inside(`route add ${podNet(other)} via ${nodeAddress(other)}`);
}

function ip(text: string): Promise<string> {
  return run(['ip', ...words(text)]);
}
