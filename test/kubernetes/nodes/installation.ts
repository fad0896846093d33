import { expect, test } from 'vitest';

import { runtimeConfigurations, CHART, offerVolumes, rolledOut, trustRegistries } from './shoal.ts';
import type { Rig } from './rig.ts';
import { readersOf } from './upstream.ts';
import { podRuns } from './workloads.ts';

const VERSION = '0.1.0';
/** What an operator may have for all registries: a mirror of the company's, which is down. */
const OPERATORS_FILE = `# The company's mirror
[host."https://127.0.0.1:5999"]
  capabilities = ["pull"]
`;
const OPERATORS_PATH = '/etc/containerd/certs.d/_default/hosts.toml';

/** What lay in containerd's directory of each node before Shoal came. */
let before: Map<string, string>[];

export function installation(cluster: () => Rig): void {
  test('helm install with nothing but the image’s place', async () => {
    const rig = cluster();
    await offerVolumes(rig);
    const first = rig.nodes[0]!;
    await first.exec(['mkdir', '-p', '/etc/containerd/certs.d/_default']);
    await first.exec(['sh', '-c', `printf %s "$1" >${OPERATORS_PATH}`, 'sh', OPERATORS_FILE]);
    before = await runtimeConfigurations(rig);
    const image = await rig.upstreams.public.pushLayout(rig.image, 'shoal', VERSION);
    await rig.helm(
      'install',
      'shoal',
      CHART,
      '--namespace=shoal',
      '--create-namespace',
      `--set=image.repository=${image}`,
    );
    await rolledOut(rig);
    expect(await first.exec(['cat', OPERATORS_PATH])).toContain('http://127.0.0.1:29500');
    expect(await runtimeConfigurations(rig)).not.toEqual(before);
  });

  test('pods start though Shoal does not trust their registry’s authority: the runtime asks the registry itself', async () => {
    const rig = cluster();
    const { reference, image } = await rig.upstreams.public.push({
      repository: 'team/untrusted',
      layers: [1_000_000],
    });
    for (const { name } of rig.nodes) {
      const started = await podRuns(rig, { name: `untrusted-${name}`, image: reference, node: name });
      expect(started.digest).toBe(image.index.digest);
    }
  });

  test('an upgrade by which Shoal trusts the registries', async () => {
    const rig = cluster();
    const values = await trustRegistries(rig);
    await rig.helm('upgrade', 'shoal', CHART, '--namespace=shoal', '--reuse-values', `--values=${values}`);
    await rolledOut(rig);
    const { reference } = await rig.upstreams.public.push({
      repository: 'team/trusted',
      layers: [1_000_000],
    });
    await podRuns(rig, { name: 'trusted', image: reference });
    expect(readersOf(rig.upstreams.public, 'team/trusted')).toEqual(['shoal']);
  });
}

/** What lay there before Shoal came. */
export function configurationsBefore(): readonly Map<string, string>[] {
  return before;
}
