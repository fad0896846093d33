import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type Cluster, object, part, preheatsPath, startCluster } from './cluster.ts';

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

let made = 0;
function create(spec: unknown): Promise<unknown> {
  made += 1;
  const body = object('shoal.dev/v1alpha1', 'ImagePreheat', `preheat-${made}`, { spec });
  return cluster.ask('POST', preheatsPath(), body);
}

const DIGEST = `sha256:${'0'.repeat(64)}`;

describe('an ImagePreheat', () => {
  it.each([
    [{ images: ['nginx'] }],
    [{ images: ['ghcr.io/acme/app:1.0', 'localhost:5000/a/b_c/d-e:v1', '[::1]:5000/app:1'] }],
    [{ images: [`registry.example.com/app@${DIGEST}`, `registry.example.com/app:1@${DIGEST}`] }],
    [{ images: ['app'], platforms: ['linux/amd64', 'linux/arm64'] }],
    [{ images: ['app'], nodeSelector: { 'topology.kubernetes.io/zone': 'a', gpu: '' } }],
    [{ images: ['app'], concurrency: 1000, deadlineSeconds: 604_800, imagePullSecrets: [{ name: 'a.b-c' }] }],
  ])('is taken with %j', async (spec) => {
    const taken = await create(spec);
    expect(part(taken, 'spec')).toMatchObject(spec);
  });

  it('has 50 nodes fetch at one time and an hour to do so, where nothing is said', async () => {
    expect(part(await create({ images: ['app'] }), 'spec')).toEqual({
      images: ['app'],
      concurrency: 50,
      deadlineSeconds: 3600,
    });
  });

  it.each([
    [{}, 'spec.images: Required value'],
    [{ images: [] }, 'should have at least 1 items'],
    [{ images: ['app', 'app'] }, 'Duplicate value'],
    [{ images: [''] }, 'should be at least 1 chars long'],
    [{ images: ['https://ghcr.io/acme/app'] }, 'without a scheme'],
    [{ images: ['ghcr.io/acme/app with blanks'] }, 'an image is named such as'],
    [{ images: ['ghcr.io//app'] }, 'no empty parts'],
    [{ images: ['ghcr.io/../app'] }, 'no empty parts'],
    [{ images: ['app@sha256:beef'] }, 'a digest is sha256'],
    [{ images: ['app'], platforms: [] }, 'should have at least 1 items'],
    [{ images: ['app'], platforms: ['amd64'] }, 'such as linux/arm64'],
    [{ images: ['app'], concurrency: 0 }, 'greater than or equal to 1'],
    [{ images: ['app'], concurrency: 1001 }, 'less than or equal to 1000'],
    [{ images: ['app'], deadlineSeconds: 5 }, 'greater than or equal to 10'],
    [{ images: ['app'], deadlineSeconds: '1h' }, 'must be of type integer'],
    [{ images: ['app'], nodeSelector: { 'a label': 'x' } }, 'such as topology.kubernetes.io/zone'],
    [{ images: ['app'], nodeSelector: { zone: 'not a value' } }, 'a value of nodeSelector is a label'],
    [{ images: ['app'], imagePullSecrets: [{ name: 'Not_A_Name' }] }, 'a Secret’s name|Secret'],
    [{ images: ['app'], imagePullSecrets: [{}] }, 'Required value'],
  ])('is refused with %j', async (spec, reason) => {
    await expect(create(spec)).rejects.toThrow(new RegExp(reason, 'u'));
  });

  it('keeps its images, platforms and selector, and may be given more time', async () => {
    const taken = await create({ images: ['app'], nodeSelector: { zone: 'a' } });
    const path = preheatsPath(String(part(taken, 'metadata', 'name')));
    const change = (spec: object): Promise<unknown> => cluster.ask('PATCH', path, { spec });
    await expect(change({ images: ['other'] })).rejects.toThrow('images cannot be changed');
    await expect(change({ platforms: ['linux/amd64'] })).rejects.toThrow('platforms cannot be changed');
    await expect(change({ nodeSelector: { zone: 'b' } })).rejects.toThrow('nodeSelector cannot be changed');
    expect(part(await change({ deadlineSeconds: 60, concurrency: 3 }), 'spec')).toMatchObject({
      deadlineSeconds: 60,
      concurrency: 3,
    });
  });
});
