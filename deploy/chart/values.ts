import { Type } from 'typebox';
import type { TObject, TSchema } from 'typebox';

import { PUBLIC_KEY_PATTERN } from '#service/config/common.ts';
import { MAX_MEMBERS } from '#service/discovery/constants.ts';
import { STOP_GRACE_MS } from '#service/lifecycle.ts';

import { knobValues } from './knob-values.ts';
import { annotations, labels, pods, policyPeers, resources, secrets } from './kubernetes-values.ts';
import {
  ABSOLUTE_PATH,
  CIDR,
  IMAGE_NAME,
  IMAGE_TAG,
  OBJECT_NAME,
  QUANTITY,
  REGISTRY,
  SERVICE_NAME,
  SERVICE_NAME_PART,
} from './patterns.ts';
import { count, flag, group, optional, port, text, texts } from './value-kinds.ts';

/** The chart's values: what they are called, their defaults and what they do. values.yaml, its schema and the reference are made of this. */

const grace = (seconds: number): TSchema =>
  count(
    seconds,
    [1, 3600],
    `Seconds that running transfers have to end when the pod is stopped. A part itself takes up to ${STOP_GRACE_MS / 1000}: it is given these at least.`,
  );
const replicas = (value: number, description: string): TSchema => count(value, [1, MAX_MEMBERS], description);
/** As Prometheus reads it; empty, too. */
const INTERVAL = '(?:[1-9][0-9]{0,4}h)?(?:[1-9][0-9]{0,4}m)?(?:[1-9][0-9]{0,4}s)?(?:[1-9][0-9]{0,5}ms)?';

export const VALUES: TObject = group('Values of the chart', {
  image: group('The container image, of all parts.', {
    repository: text('ghcr.io/shoal-dev/shoal', 'Registry and repository.', IMAGE_NAME),
    tag: optional('Tag. Empty: the chart’s appVersion.', IMAGE_TAG),
    digest: optional('Digest such as sha256:…; counts before the tag.', 'sha256:[0-9a-f]{64}'),
    pullPolicy: Type.Enum(['Always', 'IfNotPresent', 'Never'], {
      default: 'IfNotPresent',
      description: 'When the kubelet pulls it.',
    }),
    pullSecrets: secrets('Secrets to pull it with, as `[{name: …}]`.'),
  }),
  nameOverride: optional('Instead of the chart’s name in the names of objects.', SERVICE_NAME_PART, {
    maxLength: 63,
  }),
  fullnameOverride: optional(
    'Instead of release and chart in the names of objects: its first 40 characters, which leaves room for what comes after.',
    `${SERVICE_NAME}-?`,
  ),
  clusterDomain: text('cluster.local', 'Domain of the cluster’s DNS.', OBJECT_NAME),
  keys: group('The keys that parts know each other by. Made at the first install and kept at upgrades.', {
    clusterSecret: optional(
      'A Secret of yours with `cluster.key`, `origin.pub` and `metrics.token`, instead of a generated one. Needed where Helm only renders (GitOps): it would make new keys each time.',
      OBJECT_NAME,
    ),
    originSecret: optional('A Secret of yours with `origin.key`. Goes with `clusterSecret`.', OBJECT_NAME),
    trustedOriginKeys: texts(
      'Further public keys whose signed hashes are believed, while a key is being changed. With a Secret of yours they are in that.',
      PUBLIC_KEY_PATTERN,
      255, // beside the chart's own
    ),
  }),
  mtls: group(
    'Certificates instead of the cluster key (`security: mtls`): all that parts say to each other is TLS 1.3.',
    {
      secret: optional(
        'A Secret with `tls.crt`, `tls.key` and `ca.crt`, as cert-manager makes them, for `mtls.name` (see SECURITY.md). Empty: the cluster key.',
        OBJECT_NAME,
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
        'Registries to mirror. Empty: all (containerd), or docker.io, ghcr.io, quay.io and registry.k8s.io (CRI-O).',
        `_default|${REGISTRY}`,
      ),
      configPath: optional(
        'containerd’s config_path, where its configuration need not be read for it. Must lie below the directories of the kind of node.',
        ABSOLUTE_PATH,
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
        'Directory on the node, of Shoal alone; it outlives the pod. Empty: an emptyDir, gone with the pod.',
        `|${ABSOLUTE_PATH}`,
      ),
    }),
    maxUnavailable: {
      type: ['string', 'integer'],
      pattern: '^(?:100|[1-9][0-9]?)%$',
      minimum: 1,
      default: '10%',
      description:
        'How many nodes are without an agent while it is rolled: a number, or a share such as 10%.',
    },
    terminationGracePeriodSeconds: grace(30),
    resources: resources('100m', '192Mi', '1Gi'),
    ...pods([{ operator: 'Exists' }]),
  }),
  origin: group('The origins: a StatefulSet.', {
    replicas: replicas(
      2,
      'How many. Each keeps a share of what was read; one may be lost at any time when there are two.',
    ),
    config: knobValues('origin', { store: { quota: '45GiB' } }),
    persistence: group('The volume of each origin.', {
      enabled: flag(true, 'Whether blobs outlive the pod, in a PersistentVolumeClaim. Off: an emptyDir.'),
      size: text('50Gi', 'Size of the volume; a little more than `config.store.quota`.', QUANTITY),
      storageClass: optional('StorageClass. Empty: the cluster’s default.', OBJECT_NAME),
    }),
    terminationGracePeriodSeconds: grace(30),
    resources: resources('200m', '256Mi', '2Gi'),
    ...pods([]),
  }),
  tracker: group('The tracker: a Deployment. It keeps nothing.', {
    replicas: replicas(1, 'How many. Agents ask one; another takes over within seconds.'),
    config: knobValues('tracker'),
    terminationGracePeriodSeconds: grace(30),
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
      'Secrets that they may name in `imagePullSecrets`: the tracker may read these and no others.',
      OBJECT_NAME,
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
    annotations: annotations('Their annotations.'),
  }),
  priorityClass: group('Priority of the pods.', {
    create: flag(true, 'Whether a PriorityClass is made.'),
    name: optional('A PriorityClass of yours instead.', OBJECT_NAME),
    value: count(
      1_000_000,
      [0, 1_000_000_000],
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
        'Addresses of nodes and pods that may reach the ports of trackers and origins. Empty: all; who has no cluster key gets no answer there.',
        CIDR,
      ),
      metricsFrom: policyPeers(
        'Peers (as in a NetworkPolicy) that may read metrics. Empty: all; the token is needed.',
      ),
    },
  ),
  metrics: group('Metrics and what is made of them.', {
    serviceMonitor: group('For Prometheus Operator.', {
      enabled: flag(false, 'Whether ServiceMonitors are made.'),
      interval: text(
        '30s',
        'How often metrics are read. Empty: as often as your Prometheus does by default.',
        INTERVAL,
      ),
      labels: labels({}, 'Labels by which your Prometheus finds them.'),
    }),
    prometheusRule: group(
      'Alerts and recording rules for Prometheus Operator; the same as in deploy/prometheus.',
      {
        enabled: flag(false, 'Whether a PrometheusRule is made.'),
        labels: labels({}, 'Labels by which your Prometheus finds it.'),
      },
    ),
    dashboards: group('Grafana’s dashboards as a ConfigMap; the same as in deploy/grafana.', {
      enabled: flag(false, 'Whether the ConfigMap is made.'),
      labels: labels({ grafana_dashboard: '1' }, 'Labels by which Grafana’s sidecar finds it.'),
    }),
  }),
});
