import { Type } from 'typebox';
import type { TObject, TProperties, TSchema } from 'typebox';

import { knobValues } from './knob-values.ts';

/** The chart's values: what they are called, their defaults and what they do. values.yaml, its schema and the reference are made of this. */

const group = (description: string, properties: TProperties): TObject =>
  Type.Object(properties, { description, additionalProperties: false });
const text = (value: string, description: string, options: object = {}): TSchema =>
  Type.String({ default: value, description, ...options });
const flag = (value: boolean, description: string): TSchema => Type.Boolean({ default: value, description });
const count = (value: number, minimum: number, description: string): TSchema =>
  Type.Integer({ default: value, minimum, description });
const texts = (value: string[], description: string): TSchema =>
  Type.Array(Type.String({ minLength: 1 }), { default: value, description });
/** Passed to Kubernetes as it is. */
const object = (value: object, description: string): TSchema =>
  Type.Object({}, { default: value, description, additionalProperties: true });
const list = (value: object[], description: string): TSchema =>
  Type.Array(Type.Object({}, { additionalProperties: true }), { default: value, description });
const port = (value: number, description: string): TSchema =>
  Type.Integer({ default: value, minimum: 1024, maximum: 29_999, description });

const resources = (cpu: string, memory: string, limit: string): TSchema =>
  object({ requests: { cpu, memory }, limits: { memory: limit } }, 'Requests and limits of the container.');

/** What every part's pods have. */
const pods = (tolerations: object[]): TProperties => ({
  nodeSelector: object({ 'kubernetes.io/os': 'linux' }, 'Nodes that the pods may be on.'),
  tolerations: list(tolerations, 'Taints that the pods tolerate, beside the start-up taint.'),
  affinity: object({}, 'Affinity of the pods.'),
  podAnnotations: object({}, 'Annotations of the pods.'),
  podLabels: object({}, 'Labels of the pods, beside the chart’s own.'),
  extraEnv: list([], 'Environment of the container, such as HTTPS_PROXY and NO_PROXY.'),
  extraVolumes: list(
    [],
    'Volumes of the pods, such as certificate authorities named in `config.upstreams.hosts`.',
  ),
  extraVolumeMounts: list([], 'Where the container has them.'),
});

const grace = (seconds: number): TSchema =>
  count(seconds, 1, 'Seconds that running transfers have to end when the pod is stopped.');

export const VALUES: TObject = group('Values of the chart', {
  image: group('The container image, of all parts.', {
    repository: text('ghcr.io/shoal-dev/shoal', 'Registry and repository.'),
    tag: text('', 'Tag. Empty: the chart’s appVersion.'),
    digest: text('', 'Digest such as sha256:…; counts before the tag.', {
      pattern: '^(?:sha256:[0-9a-f]{64})?$',
    }),
    pullPolicy: Type.Enum(['Always', 'IfNotPresent', 'Never'], {
      default: 'IfNotPresent',
      description: 'When the kubelet pulls it.',
    }),
    pullSecrets: list([], 'Secrets to pull it with, as `[{name: …}]`.'),
  }),
  nameOverride: text('', 'Instead of the chart’s name in the names of objects.'),
  fullnameOverride: text('', 'Instead of release and chart in the names of objects.'),
  clusterDomain: text('cluster.local', 'Domain of the cluster’s DNS.'),
  keys: group('The keys that parts know each other by. Made at the first install and kept at upgrades.', {
    clusterSecret: text(
      '',
      'A Secret of yours with `cluster.key`, `origin.pub` and `metrics.token`, instead of a generated one. Needed where Helm only renders (GitOps): it would make new keys each time.',
    ),
    originSecret: text('', 'A Secret of yours with `origin.key`. Goes with `clusterSecret`.'),
    trustedOriginKeys: texts(
      [],
      'Further public keys whose signed hashes are believed, while a key is being changed.',
    ),
  }),
  mtls: group(
    'Certificates instead of the cluster key (`security: mtls`): all that parts say to each other is TLS 1.3.',
    {
      secret: text(
        '',
        'A Secret with `tls.crt`, `tls.key` and `ca.crt`, as cert-manager makes them, for `mtls.name` (see SECURITY.md). Empty: the cluster key.',
      ),
    },
  ),
  mirror: group(
    'The container runtime’s mirror configuration on each node. It is held in place while the agent’s pod runs, and taken back when that stops.',
    {
      enabled: flag(true, 'Whether the node is configured. Off: do it yourself, see docs/operations.md.'),
      node: Type.Enum(['containerd', 'eks', 'gke', 'aks', 'k3s', 'rke2', 'talos', 'crio', 'openshift'], {
        default: 'containerd',
        description: 'The kind of node: where its runtime has its configuration.',
      }),
      registries: texts(
        [],
        'Registries to mirror. Empty: all (containerd), or docker.io, ghcr.io, quay.io and registry.k8s.io (CRI-O).',
      ),
      configPath: text(
        '',
        'containerd’s config_path, where its configuration need not be read for it. Must lie below the directories of the kind of node.',
      ),
      resources: resources('5m', '32Mi', '128Mi'),
    },
  ),
  agent: group('The agent: a DaemonSet on the host’s network.', {
    config: knobValues('agent'),
    ports: group(
      'Ports on the node. The door’s must be outside the NodePort range and the ephemeral range.',
      {
        door: port(29_500, 'The registry mirror, on 127.0.0.1 only.'),
        status: port(29_501, 'Health and metrics, on the node’s address.'),
        peer: port(29_502, 'The peer wire, on the node’s address.'),
        members: port(29_503, 'Where the tracker asks for preheats, on the node’s address.'),
      },
    ),
    store: group('Where blobs are kept on the node.', {
      hostPath: text(
        '/var/lib/shoal/agent',
        'Directory on the node; it outlives the pod. Empty: an emptyDir, gone with the pod.',
        { pattern: '^(?:/.+)?$' },
      ),
    }),
    maxUnavailable: Type.Union([Type.String(), Type.Integer()], {
      default: '10%',
      description: 'How many nodes are without an agent while it is rolled.',
    }),
    terminationGracePeriodSeconds: grace(30),
    resources: resources('100m', '192Mi', '1Gi'),
    ...pods([{ operator: 'Exists' }]),
  }),
  origin: group('The origins: a StatefulSet.', {
    replicas: count(
      2,
      1,
      'How many. Each keeps a share of what was read; one may be lost at any time when there are two.',
    ),
    config: knobValues('origin', { store: { quota: '45GiB' } }),
    persistence: group('The volume of each origin.', {
      enabled: flag(true, 'Whether blobs outlive the pod, in a PersistentVolumeClaim. Off: an emptyDir.'),
      size: text('50Gi', 'Size of the volume; a little more than `config.store.quota`.'),
      storageClass: text('', 'StorageClass. Empty: the cluster’s default.'),
    }),
    terminationGracePeriodSeconds: grace(30),
    resources: resources('200m', '256Mi', '2Gi'),
    ...pods([]),
  }),
  tracker: group('The tracker: a Deployment. It keeps nothing.', {
    replicas: count(1, 1, 'How many. Agents ask one; another takes over within seconds.'),
    config: knobValues('tracker'),
    terminationGracePeriodSeconds: grace(15),
    resources: resources('50m', '192Mi', '512Mi'),
    ...pods([]),
  }),
  startupTaint: group(
    'The taint node.shoal.dev/agent-not-ready, which you give to new nodes, keeps pods away until the agent serves.',
    {
      enabled: flag(
        false,
        'Whether the tracker takes it away from nodes whose agent serves. Gives the tracker the right to patch Nodes.',
      ),
    },
  ),
  preheat: group('ImagePreheat resources, by which nodes hold images before pods ask for them.', {
    pullSecrets: texts(
      [],
      'Secrets that they may name in `imagePullSecrets`: the tracker may read these and no others.',
    ),
  }),
  cleanUp: group(
    'Before an uninstall that is to leave nothing at all on the nodes; see docs/kubernetes.md.',
    {
      enabled: flag(
        false,
        'Whether each node has, instead of its agent, a pod that removes the cached blobs and what a crash left of the mirror.',
      ),
    },
  ),
  rbac: group('Rights in the cluster.', {
    create: flag(true, 'Whether Roles and bindings are made for the tracker.'),
  }),
  serviceAccounts: group('Service accounts of the parts.', {
    annotations: object({}, 'Their annotations.'),
  }),
  priorityClass: group('Priority of the pods.', {
    create: flag(true, 'Whether a PriorityClass is made.'),
    name: text('', 'A PriorityClass of yours instead.'),
    value: count(
      1_000_000,
      0,
      'Its value: above ordinary pods, which need it to be pulled quickly, below the system’s.',
    ),
  }),
  podDisruptionBudgets: group('Limits of voluntary disruption.', {
    enabled: flag(true, 'Whether at most one origin and one tracker are evicted at a time.'),
  }),
  networkPolicy: group(
    'What may reach trackers and origins. Agents are on the host’s network, where policies do not apply.',
    {
      enabled: flag(true, 'Whether policies are made.'),
      memberCidrs: texts(
        [],
        'Addresses of nodes and pods that may reach the ports of trackers and origins. Empty: all; who has no cluster key gets no answer there.',
      ),
      metricsFrom: list(
        [],
        'Peers (as in a NetworkPolicy) that may read metrics. Empty: all; the token is needed.',
      ),
    },
  ),
  metrics: group('Metrics and what is made of them.', {
    serviceMonitor: group('For Prometheus Operator.', {
      enabled: flag(false, 'Whether ServiceMonitors are made.'),
      interval: text('30s', 'How often metrics are read.'),
      labels: object({}, 'Labels by which your Prometheus finds them.'),
    }),
    prometheusRule: group(
      'Alerts and recording rules for Prometheus Operator; the same as in deploy/prometheus.',
      {
        enabled: flag(false, 'Whether a PrometheusRule is made.'),
        labels: object({}, 'Labels by which your Prometheus finds it.'),
      },
    ),
    dashboards: group('Grafana’s dashboards as a ConfigMap; the same as in deploy/grafana.', {
      enabled: flag(false, 'Whether the ConfigMap is made.'),
      labels: object({ grafana_dashboard: '1' }, 'Labels by which Grafana’s sidecar finds it.'),
    }),
  }),
});
