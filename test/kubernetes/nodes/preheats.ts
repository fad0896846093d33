import { expect, test } from 'vitest';

import { eventually } from '../../runtimes/program.ts';
import { object, part } from '../api/cluster.ts';
import type { Rig } from './rig.ts';
import { readersOf } from './upstream.ts';
import { podRuns } from './workloads.ts';

const PREHEATS = '/apis/shoal.dev/v1alpha1/namespaces/shoal/imagepreheats';
const COLUMNS = ['NAME', 'STATE', 'IMAGES', 'NODES', 'WARM', 'FAILED', 'AGE'];
const WARM_MS = 60_000;

export function preheats(cluster: () => Rig): void {
  test('an ImagePreheat: every node holds the image before a pod asks for it', async () => {
    const rig = cluster();
    const { public: upstream } = rig.upstreams;
    const repository = 'team/preheated';
    const { reference, image } = await upstream.push({ repository, layers: [20_000_000, 5_000_000] });
    const spec = { images: [reference], platforms: ['linux/amd64'] };
    await rig.ask('POST', PREHEATS, object('shoal.dev/v1alpha1', 'ImagePreheat', 'release', { spec }));
    const isComplete = async (): Promise<true | undefined> => {
      const state = part(await rig.ask('GET', `${PREHEATS}/release`), 'status', 'state');
      return state === 'Complete' ? true : undefined;
    };
    await eventually('the preheat is complete', isComplete, WARM_MS);
    const [header = '', row = ''] = (await rig.kubectl('--namespace=shoal', 'get', 'imagepreheats')).split(
      '\n',
    );
    expect(header.trim().split(/\s+/u)).toEqual(COLUMNS);
    expect(row.trim().split(/\s+/u)).toEqual(['release', 'Complete', '1', '3', '3', '0', expect.any(String)]);
    const told = await rig.kubectl('--namespace=shoal', 'describe', 'imagepreheat', 'release');
    expect(told).toMatch(/Normal +PreheatComplete/u);

    const before = upstream.registry.blobBytes();
    for (const { name } of rig.nodes) {
      const started = await podRuns(rig, { name: `preheated-${name}`, image: reference, node: name });
      expect(started.digest).toBe(image.index.digest);
    }
    expect(upstream.registry.blobBytes()).toEqual(before);
    expect(readersOf(upstream, repository)).toEqual(['shoal']);
  });
}
