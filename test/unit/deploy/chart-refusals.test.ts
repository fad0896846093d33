import { describe, expect, test } from 'vitest';

import { HELM, lint, render, template } from './helm.ts';

/** A volume of the origins' pods, mounted at a path. */
function mounted(path: string): string {
  const volume = 'origin.extraVolumes[0].name=ca,origin.extraVolumes[0].secret.secretName=ca';
  return `${volume},origin.extraVolumeMounts[0].name=ca,origin.extraVolumeMounts[0].mountPath=${path}`;
}

/** Values that would be no use or do harm, as `a=b,c=d`, and words of the refusal. */
const REFUSED: readonly (readonly [values: string, words: string])[] = [
  // What the schema says.
  ['agent.config.store.quotas=1GiB', "'quotas' not allowed"],
  ['agent.config.peer.listen=0.0.0.0:1', "'listen' not allowed"],
  ['agent.config.store.quota=5XB', 'store/quota'],
  ['agent.config.store.quota=1000', 'store/quota'],
  ['agent.config.fallback.stall=2', 'fallback/stall'],
  ['agent.config.fallback.stall=0', 'fallback/stall'],
  ['agent.config.fallback.stall=2 hours', 'fallback/stall'],
  ['agent.config.bandwidth.download=5MB', 'bandwidth/download'],
  ['tracker.config.log.level=loud', 'log/level'],
  ['mirror.node=windows', 'mirror/node'],
  ['agent.ports.door=31000', 'agent/ports/door'],
  ['origin.replicas=0', 'origin/replicas'],
  ['image.digest=latest', 'image/digest'],
  ['image.repository=', 'image/repository'],
  ['image.repository=ghcr.io/shoal-dev/shoal:1.0', 'image/repository'],
  ['image.tag=a b', 'image/tag'],
  ['fullnameOverride=Bad_Name', 'fullnameOverride'],
  ['nameOverride=Bad_Name', 'nameOverride'],
  ['clusterDomain=', 'clusterDomain'],
  ['keys.clusterSecret=My_Keys,keys.originSecret=mine', 'keys/clusterSecret'],
  ['keys.trustedOriginKeys={c2hvcnQ=}', 'trustedOriginKeys/0'],
  ['mirror.registries={https://ghcr.io}', 'mirror/registries/0'],
  ['mirror.configPath=/etc/containerd/../shadow', 'mirror/configPath'],
  ['agent.maxUnavailable=0', 'agent/maxUnavailable'],
  ['agent.maxUnavailable=0%', 'agent/maxUnavailable'],
  ['agent.maxUnavailable=101%', 'agent/maxUnavailable'],
  ['agent.terminationGracePeriodSeconds=0', 'want 1'],
  ['agent.store.hostPath=relative', 'agent/store/hostPath'],
  ['agent.store.hostPath=/', 'agent/store/hostPath'],
  ['agent.store.hostPath=/var/lib/../../etc', 'agent/store/hostPath'],
  ['agent.nodeSelector.kubernetes\\.io/os=windows', 'kubernetes.io~1os'],
  ['agent.nodeSelector.disk=true', 'want string'],
  ['agent.tolerations[0].operator=Sometimes', 'tolerations/0/operator'],
  ['agent.affinity.zone=a', 'agent/affinity'],
  ['agent.affinity.nodeAffinity.required[0].key=a', 'agent/affinity/nodeAffinity'],
  ['agent.nodeSelector.a/b/c=x', 'agent/nodeSelector'],
  ['agent.resources.requests.memry=1Gi', 'resources/requests'],
  ['agent.extraVolumes[0].name=ca', 'extraVolumes/0'],
  ['agent.extraVolumes[0].name=ca,agent.extraVolumes[0].hostpath.path=/ca', 'extraVolumes/0'],
  ['agent.extraVolumeMounts[0].name=ca,agent.extraVolumeMounts[0].mountPath=/ca/..', 'mountPath'],
  ['networkPolicy.metricsFrom[0].podSelector.app=prometheus', 'podSelector'],
  ['agent.resources.limits.memory=lots', 'limits/memory'],
  ['agent.resources.limits.memory=-1Gi', 'limits/memory'],
  ['origin.replicas=257', 'origin/replicas'],
  ['origin.persistence.size=50GiB', 'origin/persistence/size'],
  ['origin.persistence.storageClass=Fast SSD', 'storageClass'],
  ['preheat.pullSecrets={Registry}', 'pullSecrets/0'],
  ['priorityClass.value=2000000000', 'priorityClass/value'],
  ['networkPolicy.memberCidrs={10.0.0.0}', 'memberCidrs/0'],
  ['networkPolicy.memberCidrs={10.0.0.0/33}', 'memberCidrs/0'],
  ['networkPolicy.memberCidrs={10.0.0.256/24}', 'memberCidrs/0'],
  ['networkPolicy.memberCidrs={fd00:::/8}', 'memberCidrs/0'],
  ['networkPolicy.memberCidrs={fd00::/129}', 'memberCidrs/0'],
  ['networkPolicy.metricsFrom[0].ipBlock.cidr=everybody', 'ipBlock/cidr'],
  ['metrics.serviceMonitor.interval=often', 'serviceMonitor/interval'],
  // What the templates say.
  ['tracker.config.memberTimeout=10s', 'memberTimeout is 10s, but announceInterval is 30s'],
  ['tracker.config.announceInterval=38s', 'memberTimeout is 75s, but announceInterval is 38s'],
  ['agent.config.fallback.stall=99ms', 'from 100ms to 5m is allowed'],
  ['tracker.config.strangers.listen=0.0.0.0:29510', 'another port than 0 and the tracker'],
  ['tracker.config.strangers.listen=127.0.0.1:29512', 'nobody outside of the pod reaches'],
  ['mtls.secret=tls,agent.config.mtls.name=agent.internal', 'parts of one name let each other in'],
  ['origin.config.strangers=true', 'strangerRepositories is empty'],
  ['origin.persistence.size=45G', 'size is 45G, but origin.config.store.quota is 45GiB'],
  ['origin.persistence.size=20Gi', 'Where claims of that size exist, lower origin.config.store.quota'],
  ['origin.config.store.quota=51GiB', 'size is 50Gi, but origin.config.store.quota is 51GiB'],
  ['origin.config.store=null', 'size is 50Gi, but origin.config.store.quota is 200GiB'],
  ['agent.config.upstreams.hosts.a_b.plainHttp=true', 'hosts["a_b"] is no host'],
  ['agent.config.upstreams.hosts.r.endpoint=https://', 'endpoint is no base URL'],
  ['origin.config.upstreams.hosts.r.endpoint=http://r', 'plainHttp is not true'],
  ['origin.config.upstreams.hosts.r.ca=/ca/r.pem', 'a file in one of origin.extraVolumeMounts'],
  ['agent.ports.peer=29500', 'agent.ports.peer is 29500, the port of agent.ports.door'],
  ['agent.ports.door=10250', 'the port of the kubelet'],
  ['agent.store.hostPath=/etc', 'agent.store.hostPath is "/etc"'],
  ['agent.store.hostPath=/etc,cleanUp.enabled=true', 'agent.store.hostPath is "/etc"'],
  ['agent.store.hostPath=/var/lib', 'agent.store.hostPath is "/var/lib"'],
  ['agent.store.hostPath=/mnt/', 'agent.store.hostPath is "/mnt"'],
  ['agent.store.hostPath=/var//lib', 'agent.store.hostPath is "/var/lib"'],
  ['agent.store.hostPath=/var/lib/shoal/.', 'agent/store/hostPath'],
  ['agent.store.hostPath=/a:b', 'agent/store/hostPath'],
  ['agent.store.hostPath=/var/lib/kubelet', 'which the node needs itself'],
  ['agent.store.hostPath=/var/lib/kubelet/plugins/shoal', 'which the node needs itself'],
  ['agent.store.hostPath=/var/lib/rancher/k3s/shoal', 'which the node needs itself'],
  ['agent.store.hostPath=/var/lib/containerd/io.containerd.content.v1.content', 'the node needs itself'],
  ['mirror.configPath=/etc/docker/certs.d', 'a directory in /etc/containerd is allowed'],
  ['mirror.configPath=/etc/containerdx', 'a directory in /etc/containerd is allowed'],
  ['mirror.node=crio,mirror.configPath=/etc/containers', 'which has no containerd'],
  ['mirror.node=crio,mirror.registries={_default}', 'name each'],
  ['keys.clusterSecret=mine', 'keys.originSecret is not'],
  ['keys.originSecret=mine', 'keys.clusterSecret is not'],
  [
    `keys.clusterSecret=a,keys.originSecret=b,keys.trustedOriginKeys={${Buffer.alloc(32).toString('base64')}}`,
    'all public keys are in its origin.pub',
  ],
  ['startupTaint.enabled=true,rbac.create=false', 'nodes that have it get no pods'],
  ['preheat.pullSecrets={login},rbac.create=false', 'the tracker reads no Secret'],
  ['preheat.pullSecrets={shoal-origin}', 'which holds keys of Shoal'],
  ['agent.extraEnv[0].name=POD_IP,agent.extraEnv[0].value=::1', "which is the chart's to set"],
  ['agent.extraEnv[0].name=SHOAL_STORE_QUOTA,agent.extraEnv[0].value=1GiB', 'agent.config.store.quota'],
  ['tracker.extraEnv[0].name=SHOAL_STORE_QUOTA', 'no knob of the tracker'],
  ['agent.extraEnv[0].name=SHOAL_PEER_LISTEN', 'or one that the chart sets'],
  ['agent.extraEnv[0].name=https_proxy,agent.extraEnv[0].value=socks5://u@p', 'a value that is no proxy'],
  ['agent.tolerations[0].effect=NoSchedule', 'goes with operator Exists'],
  ['agent.tolerations[0].operator=Exists,agent.tolerations[0].value=a', 'goes with Equal'],
  ['agent.tolerations[0].operator=Exists,agent.tolerations[0].tolerationSeconds=5', 'with effect NoExecute'],
  ['mirror.registries={ghcr.io},agent.config.upstreams.deny={ghcr.io}', 'it can be in one of them'],
  [
    'agent.extraVolumes[0].name=store,agent.extraVolumes[0].emptyDir.medium=Memory',
    "the chart's name for one of its own",
  ],
  [
    'agent.extraVolumeMounts[0].name=ca,agent.extraVolumeMounts[0].mountPath=/ca',
    'not in agent.extraVolumes',
  ],
  [mounted('/etc/shoal/config'), 'where something else of the container is'],
  ...['/usr/lib', '/usr/lib/x86_64-linux-gnu/ssl', '/etc/shoal', '/var//lib/', '/opt/shoal/x'].map(
    (path) => [mounted(path), 'where something else of the container is'] as const,
  ),
  ['agent.podLabels.app\\.kubernetes\\.io/name=x', "which is the chart's: other labels"],
  ['metrics.dashboards.labels.helm\\.sh/chart=x', "which is the chart's: other labels"],
  ['tracker.resources.limits.memory=1Mi', 'at least 128Mi is allowed'],
  ...['1e8', '134217727', '.12Gi', '+0.1e9', '134217727999m', '134217727999999u'].map(
    (memory) => [`tracker.resources.limits.memory=${memory}`, 'at least 128Mi is allowed'] as const,
  ),
  ...['1e', '1e9Gi', '.', '1 Gi', '-1e9', '1gi'].map(
    (memory) => [`tracker.resources.limits.memory=${memory}`, 'limits/memory'] as const,
  ),
  ['tracker.resources.requests.memory=1e9', 'requests.memory is 1e9, but limits.memory is 512Mi'],
  ['tracker.resources.claims[0].device=gpu', 'resources/claims/0'],
  ['mirror.resources.limits.cpu=1m', 'at least 50m is allowed'],
  ['agent.resources.requests.memory=2Gi', 'requests.memory is 2Gi, but limits.memory is 1Gi'],
  ['metrics.serviceMonitor.interval=1h', 'from 1s to 2m is allowed'],
  ['metrics.serviceMonitor.interval=999ms', 'from 1s to 2m is allowed'],
];

/** At the edge of what is refused. */
const TAKEN = [
  'agent.config.store.quota=1.5TiB',
  'agent.config.store.quota=50000000000',
  'agent.config.fallback.stall=1m30s',
  'agent.config.rights.staleAuth=0',
  'agent.config.bandwidth.download=512KiB/s',
  'tracker.config.memberTimeout=60s',
  'tracker.config.announceInterval=37500ms',
  'tracker.config.strangers.listen=0.0.0.0:29512',
  'mtls.secret=tls,agent.config.mtls.name=member.shoal.internal',
  'mtls.secret=tls,agent.config.mtls.name=m.internal,origin.config.mtls.name=m.internal,tracker.config.mtls.name=m.internal',
  'origin.persistence.size=45Gi',
  'origin.config.store.quota=50GiB',
  'origin.persistence.enabled=false,origin.config.store.quota=200GiB',
  'agent.maxUnavailable=1',
  'agent.maxUnavailable=100%',
  'agent.store.hostPath=',
  'agent.store.hostPath=/data/shoal',
  'nameOverride=1st',
  'fullnameOverride=shoal-',
  'agent.store.hostPath=/etcetera',
  'agent.store.hostPath=/mnt/.shoal',
  'agent.store.hostPath=/mnt/disk@0/my blobs #1',
  'agent.store.hostPath=/mnt/..shoal/...',
  'agent.store.hostPath=/var/lib/kubelet/shoal',
  'agent.store.hostPath=/var/lib/rancher/shoal',
  mounted('/usr/lib/ssl/certs'),
  mounted('/etc/shoal/ca/'),
  mounted('/etc/ssl/.private'),
  'mirror.configPath=/etc/containerd/certs.d',
  'mirror.node=k3s,mirror.configPath=/var/lib/rancher/k3s/agent/etc/containerd/certs.d',
  'mirror.registries={_default,ghcr.io,registry.example.com:5000,[fd00::1]:5000}',
  'image.repository=localhost:5000/shoal,image.tag=1.0_x',
  'networkPolicy.memberCidrs={0.0.0.0/0,::/0,10.1.2.0/24,fd00:1::/32,1:2:3:4:5:6:7:8/128}',
  'networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring',
  'agent.resources.limits=null',
  'agent.resources.limits.memory=128Mi,agent.resources.requests.memory=128Mi',
  'tracker.resources.limits.cpu=1.5',
  'tracker.resources.limits.cpu=1500000u',
  'tracker.resources.claims[0].name=nic,tracker.resources.claims[0].request=fast',
  ...['1e9', '1E9', '10e+8', '0.2E', '1Ei', '2.Gi', '.5Gi', '+1Gi', '134217728', '134217728000m'].map(
    (memory) =>
      `tracker.resources.limits.memory=${memory},tracker.resources.requests.memory=134217728000000u`,
  ),
  'origin.persistence.size=5e10',
  'agent.extraEnv[0].name=HTTPS_PROXY,agent.extraEnv[0].value=http://proxy:3128',
  'origin.extraEnv[0].name=NO_PROXY,origin.extraEnv[0].value=a,origin.extraEnv[1].name=NO_PROXY,origin.extraEnv[1].value=b',
  'agent.extraEnv[0].name=SHOAL_NODE_ZONE,agent.extraEnv[0].valueFrom.fieldRef.fieldPath=metadata.name',
  'agent.extraVolumes[0].name=ca,agent.extraVolumes[0].secret.secretName=ca,agent.extraVolumeMounts[0].name=ca,agent.extraVolumeMounts[0].mountPath=/ca,agent.config.upstreams.hosts.r.ca=/ca/r.pem',
  'agent.config.upstreams.hosts.r.endpoint=http://r:80/v,agent.config.upstreams.hosts.r.plainHttp=true',
  'metrics.serviceMonitor.interval=1m30s',
  'metrics.serviceMonitor.interval=1500ms',
  'metrics.serviceMonitor.interval=',
];

describe.skipIf(HELM === undefined)('the chart (needs helm)', () => {
  test.each(REFUSED)('refuses %s', async (values, words) => {
    await expect(render(values)).rejects.toMatchObject({ stderr: expect.stringContaining(words) });
  });

  test.each(TAKEN)('takes %s', async (values) => {
    expect(await render(values)).not.toEqual([]);
  });

  test('names all that is wrong at once, and what lint finds is what an install would', async () => {
    const values = 'agent.ports.peer=29500,tracker.config.memberTimeout=1s';
    const words = /memberTimeout is "1s".*memberTimeout is 1s, but.*agent\.ports\.peer is 29500/su;
    await expect(render(values)).rejects.toMatchObject({ stderr: expect.stringMatching(words) });
    await expect(lint(values)).rejects.toMatchObject({ stderr: expect.stringMatching(words) });
  });

  test('tells no password that stands in an upstream host’s endpoint', async () => {
    const refused = render('agent.config.upstreams.hosts.r.endpoint=https://u:hunter2@r');
    const stderr = expect.stringMatching(/^(?!.*hunter2).*endpoint is no base URL/su);
    await expect(refused).rejects.toMatchObject({ stderr });
  });

  test.each(['1st', 'a.b'])('refuses the release name %s, which no Service could have', async (name) => {
    const stderr = expect.stringContaining('set fullnameOverride');
    await expect(template([], name)).rejects.toMatchObject({ stderr });
    expect(await template(['--set', 'fullnameOverride=shoal'], name)).not.toEqual([]);
  });
});
