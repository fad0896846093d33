import { attempt, run, words } from '../../runtimes/program.ts';

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

/** Plugs in the node whose process 1 has this pid. */
export async function plugIn(index: number, pid: number, nodes: number): Promise<void> {
  const cable = cableOf(index);
  await ip(`link add ${cable} type veth peer name eth0 netns ${pid}`);
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

/** Nobody hears of that node any more. Its network namespace may live on for a while, as long as connections are being closed in it. */
export async function unplug(index: number): Promise<void> {
  // A node that never came so far has none.
  await attempt(['ip', 'link', 'delete', cableOf(index)]);
}

function cableOf(index: number): string {
  return `cable${index}`;
}

function ip(text: string): Promise<string> {
  return run(['ip', ...words(text)]);
}
