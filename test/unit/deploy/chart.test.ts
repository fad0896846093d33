import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';

import { NODE_KINDS } from '#cli/runtimes/nodes.ts';
import { loadConfig } from '#service/config/load.ts';
import type { Part } from '#service/config/load.ts';

import { MANIFESTS, renderManifests } from '../../../deploy/chart/manifests.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { type Container, HELM, lint, type Manifest, type PodSpec, render } from './helm.ts';

const PARTS: readonly Part[] = ['agent', 'origin', 'tracker'];
const WORKLOADS: Readonly<Record<Part, string>> = {
  agent: 'DaemonSet',
  origin: 'StatefulSet',
  tracker: 'Deployment',
};

function find(objects: readonly Manifest[], kind: string, name: string): Manifest {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) throw new Error(`there is no ${kind} ${name}`);
  return found;
}

function podOf(objects: readonly Manifest[], part: Part): PodSpec {
  return find(objects, WORKLOADS[part], `shoal-${part}`).spec!.template!.spec;
}

const containersOf = (pod: PodSpec): readonly Container[] => [
  ...(pod.initContainers ?? []),
  ...pod.containers,
];

/** As the kubelet sets it; what comes from Secrets is given. */
function environmentOf(pod: PodSpec, address: string): Record<string, string> {
  const given: Record<string, string> = {
    NODE_NAME: 'node-1',
    POD_NAME: 'shoal-origin-0',
    POD_IP: address,
    SHOAL_TRUSTED_ORIGIN_KEYS: Buffer.alloc(32).toString('base64'),
  };
  const named = (pod.containers[0]?.env ?? []).map(({ name, value }): [string, string] => [
    name,
    value?.replaceAll(/\$\((\w+)\)/g, (_all, variable: string) => given[variable] ?? '') ?? given[name] ?? '',
  ]);
  return Object.fromEntries(named);
}

const takenPorts = () => ({ ephemeral: [32_768, 60_999] as const, reserved: [] });

/** What each part's pods are marked with: another value restarts them. */
async function annotationsOf(...values: string[]): Promise<unknown[]> {
  const objects = await render(...values);
  return PARTS.map(
    (part) => find(objects, WORKLOADS[part], `shoal-${part}`).spec!.template!.metadata.annotations,
  );
}

describe.skipIf(HELM === undefined)('the chart (needs helm: test/kubernetes/tools.sh helm)', () => {
  test('passes lint', async () => {
    await expect(lint()).resolves.toContain('0 chart(s) failed');
  });

  test('deploy/manifests is what it renders, else: node deploy/chart/manifests.ts', async () => {
    expect(readFileSync(MANIFESTS, 'utf8')).toBe(await renderManifests(HELM!));
  });

  test.each(['10.1.2.3', 'fd00::7'])(
    'gives every part a configuration that it starts with, at %s',
    async (address) => {
      await using dir = await temporaryDirectory('chart');
      const objects = await render(
        'agent.config.store.quota=20GiB',
        'origin.config.bandwidth.download=50MB/s',
      );
      for (const part of PARTS) {
        const file = dir.join(`${part}.yaml`);
        await writeFile(file, find(objects, 'ConfigMap', `shoal-${part}`).data!['config.yaml']!);
        const config = loadConfig(part, {
          file,
          env: environmentOf(podOf(objects, part), address),
          takenPorts,
        });
        expect(config.security).toBe('cluster-key');
        expect(config.status.listen).toBe(`[${address}]:${podPort(objects, part, 'status')}`);
      }
    },
  );

  test('has certificates where they are wanted, and then no cluster key in any pod', async () => {
    const objects = await render('mtls.secret=certificates');
    for (const part of PARTS) {
      const config = find(objects, 'ConfigMap', `shoal-${part}`).data!['config.yaml']!;
      expect(config).toContain('security: mtls');
      expect(config).toContain('certFile: /etc/shoal/mtls/tls.crt');
      const pod = podOf(objects, part);
      expect(JSON.stringify(pod.volumes)).not.toContain('cluster.key');
      expect(pod.volumes.map(({ name }) => name)).toContain('mtls');
      expect(pod.containers[0]!.volumeMounts.map(({ name }) => name)).toContain('mtls');
    }
  });

  test('makes keys that belong together', async () => {
    const objects = await render();
    const secret = (name: string, key: string): string =>
      Buffer.from(find(objects, 'Secret', name).data![key]!, 'base64').toString();
    const publicKey = createPublicKey(createPrivateKey(secret('shoal-origin', 'origin.key')));
    const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
    expect(secret('shoal-cluster', 'origin.pub')).toBe(raw.toString('base64'));
    expect(Buffer.from(secret('shoal-cluster', 'cluster.key'), 'base64')).toHaveLength(32);
    expect(secret('shoal-cluster', 'metrics.token')).toMatch(/^\w{40}$/);
  });

  test('restarts who believes the origins’ keys when another is named, and nobody else', async () => {
    const [agent, origin, tracker] = await annotationsOf();
    expect(await annotationsOf()).toEqual([agent, origin, tracker]);
    const key = Buffer.alloc(32, 7).toString('base64');
    const after = await annotationsOf(`keys.trustedOriginKeys={${key}}`);
    expect(
      after.map((annotations, at) => isDeepStrictEqual(annotations, [agent, origin, tracker][at])),
    ).toEqual([false, false, true]);
  });

  test("gives the signing key to origins alone, and the API's token to the tracker alone", async () => {
    const objects = await render();
    for (const part of PARTS) {
      const pod = podOf(objects, part);
      expect(JSON.stringify(pod.volumes).includes('shoal-origin')).toBe(part === 'origin');
      expect(pod.automountServiceAccountToken).toBe(part === 'tracker');
    }
  });

  test('runs nothing as root but what writes on the node, and that without capabilities', async () => {
    const objects = await render();
    for (const part of PARTS) {
      const pod = podOf(objects, part);
      expect(pod.securityContext).toMatchObject({
        runAsNonRoot: true,
        runAsUser: 65_532,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      for (const { name, securityContext } of containersOf(pod)) {
        expect(securityContext).toMatchObject({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        expect(securityContext.runAsUser === 0).toBe(['mirror', 'prepare'].includes(name));
        expect(securityContext.capabilities.add ?? []).toEqual(name === 'prepare' ? ['CHOWN'] : []);
      }
    }
  });

  test.each(Object.entries(NODE_KINDS).filter(([name]) => name !== 'podman'))(
    'on %s the mirror has its directories of the node, and the agent has none of them',
    async (name, { directories }) => {
      const pod = podOf(await render(`mirror.node=${name}`), 'agent');
      const mounts = (container: string): string[] =>
        pod.containers.find((one) => one.name === container)!.volumeMounts.map(({ mountPath }) => mountPath);
      expect(mounts('mirror')).toEqual([
        '/run/shoal',
        ...directories.map((directory) => `/host${directory}`),
      ]);
      expect(mounts('agent').filter((path) => path.startsWith('/host'))).toEqual([]);
      const paths = pod.volumes.flatMap(({ hostPath }) => hostPath?.path ?? []);
      expect(paths).toEqual(['/var/lib/shoal/agent', ...directories]);
    },
  );

  test('cleans nodes up instead of serving them, beside no agent and with no more than it needs', async () => {
    const objects = await render('cleanUp.enabled=true', 'mirror.node=k3s');
    expect(() => podOf(objects, 'agent')).toThrow('there is no DaemonSet');
    const pod = find(objects, 'DaemonSet', 'shoal-clean-up').spec!.template!.spec;
    expect(JSON.stringify(pod)).toContain('"podAntiAffinity"');
    const paths = pod.volumes.flatMap(({ hostPath }) => hostPath?.path ?? []);
    expect(paths).toEqual([...NODE_KINDS['k3s']!.directories, '/var/lib/shoal/agent']);
    const roots = containersOf(pod).filter(({ securityContext }) => securityContext.runAsUser === 0);
    expect(roots.map(({ name, args }) => [name, args[1], args[2]])).toEqual([['mirror', 'k3s', '--remove']]);
  });

  test.each(['/data/shoal/', '/data//shoal'])(
    'keeps blobs of hostPath %s in /data/shoal, and cleans up there',
    async (hostPath) => {
      for (const cleanUp of [false, true]) {
        const given = [`agent.store.hostPath=${hostPath}`, `cleanUp.enabled=${cleanUp}`];
        const objects = await render(...given);
        const { spec } = objects.find(({ kind }) => kind === 'DaemonSet')!;
        const store = spec!.template!.spec.volumes.find(({ name }) => name === 'store');
        expect(store?.hostPath?.path).toBe('/data/shoal');
      }
    },
  );

  test('has the door on loopback, out of reach of every Service', async () => {
    const objects = await render();
    const pod = podOf(objects, 'agent');
    expect(pod.hostNetwork).toBe(true);
    expect(environmentOf(pod, '10.1.2.3')['SHOAL_DOOR_LISTEN']).toBe('127.0.0.1:29500');
    for (const { spec, kind, metadata } of objects.filter((object) => object.kind === 'Service')) {
      expect(spec?.clusterIP, `${kind} ${metadata.name}`).toBe('None');
      expect(spec?.ports?.map(({ port }) => port)).not.toContain(29_500);
    }
  });

  test('names in Services only ports that their pods have', async () => {
    const objects = await render();
    for (const part of PARTS)
      for (const { name, port } of find(objects, 'Service', `shoal-${part}`).spec!.ports!)
        expect(port).toBe(podPort(objects, part, name));
  });

  test('lets the tracker change Nodes only where it lifts the start-up taint', async () => {
    expect(nodeVerbs(await render())).toEqual(['get', 'list', 'watch']);
    expect(nodeVerbs(await render('startupTaint.enabled=true'))).toEqual(['get', 'list', 'watch', 'patch']);
  });

  test('lets the tracker read no Secret but those that preheats may name', async () => {
    expect(secretRules(await render())).toEqual([]);
    expect(secretRules(await render('preheat.pullSecrets={login}'))).toMatchObject([
      { resourceNames: ['login'], verbs: ['get'] },
    ]);
  });

  test('lets stock clients through to the tracker where they are admitted', async () => {
    const listen = 'tracker.config.strangers.listen=0.0.0.0:29512';
    const [closed, open] = [await render(), await render(listen)].map((objects) =>
      JSON.stringify(find(objects, 'NetworkPolicy', 'shoal-tracker')),
    );
    expect(closed).not.toContain('29512');
    expect(open).toContain('"port":29512');
  });

  test.each([
    ['15s', '15s'],
    ['', undefined],
  ])('has metrics read every %j, where that is nothing as often as Prometheus does', async (given, read) => {
    const objects = await render(
      'metrics.serviceMonitor.enabled=true',
      `metrics.serviceMonitor.interval=${given}`,
    );
    expect(find(objects, 'ServiceMonitor', 'shoal').spec!.endpoints![0]!.interval).toBe(read);
  });

  test('has rules and dashboards where they are wanted', async () => {
    const wanted = ['serviceMonitor', 'prometheusRule', 'dashboards'].map(
      (name) => `metrics.${name}.enabled=true`,
    );
    const objects = await render(...wanted);
    expect(find(objects, 'PrometheusRule', 'shoal').spec).toHaveProperty('groups.length');
    expect(find(objects, 'ServiceMonitor', 'shoal').spec).toHaveProperty('endpoints.length', 1);
    const dashboard = find(objects, 'ConfigMap', 'shoal-dashboards').data!['registry-offload.json']!;
    expect(JSON.parse(dashboard)).toHaveProperty('panels');
  });
});

function podPort(objects: readonly Manifest[], part: Part, name: string): number | undefined {
  return podOf(objects, part).containers[0]?.ports?.find((port) => port.name === name)?.containerPort;
}

function nodeVerbs(objects: readonly Manifest[]): readonly string[] | undefined {
  return find(objects, 'ClusterRole', 'shoal-tracker').rules?.[0]?.verbs;
}

function secretRules(objects: readonly Manifest[]): readonly object[] | undefined {
  return find(objects, 'Role', 'shoal-tracker').rules?.filter(({ resources }) =>
    resources.includes('secrets'),
  );
}
