import { Type } from 'typebox';
import type { TObject, TProperties, TSchema } from 'typebox';

import { LABEL as DNS_LABEL } from '#service/discovery/member-entry.ts';

import { ABSOLUTE_PATH, CIDR, LABEL_KEY, LABEL_VALUE, OBJECT_NAME, QUANTITY } from './patterns.ts';

/** Values that are handed to Kubernetes, as far as a mistake in them can be seen here: it drops what it does not know. */

const shape = (properties: TProperties, options: object = {}): TObject =>
  Type.Object(properties, { additionalProperties: false, ...options });
const name = (): TSchema => Type.String({ pattern: `^${OBJECT_NAME}$`, maxLength: 253 });
const anything = (): TSchema => Type.Object({}, { additionalProperties: true });
const list = (items: TSchema, value: object[], description: string): TSchema =>
  Type.Array(items, { default: value, description });

/** Texts by names that labels may have. */
const pairs = (value: object, description: string, item: object, properties: TProperties = {}): TSchema =>
  Type.Object(properties, {
    default: value,
    description,
    patternProperties: { [`^(?:${LABEL_KEY})$`]: { type: 'string', ...item } },
    additionalProperties: false,
  });
const LABEL = { pattern: `^${LABEL_VALUE}$` };
export const labels = (value: object, description: string): TSchema => pairs(value, description, LABEL);
export const annotations = (description: string): TSchema => pairs({}, description, {});
/** The image is one of Linux. */
const nodes = (description: string): TSchema => {
  const os = { 'kubernetes.io/os': Type.Optional(Type.Literal('linux')) };
  return pairs({ 'kubernetes.io/os': 'linux' }, description, LABEL, os);
};

const RESOURCE = '^(?:cpu|memory|ephemeral-storage|hugepages-[0-9A-Za-z]+|[^/]+/[^/]+)$';
const amounts = (): TSchema => {
  const amount = { type: ['string', 'number'], pattern: `^${QUANTITY}$`, minimum: 0 };
  return Type.Optional(shape({}, { patternProperties: { [RESOURCE]: amount } }));
};
/** One of the pod's devices, which an admission webhook may give it. */
const claim = (): TSchema => shape({ name: volumeName(), request: Type.Optional(Type.String()) });
export const resources = (cpu: string, memory: string, limit: string): TSchema =>
  shape(
    { requests: amounts(), limits: amounts(), claims: Type.Optional(Type.Array(claim())) },
    {
      default: { requests: { cpu, memory }, limits: { memory: limit } },
      description: 'Requests and limits of the container.',
    },
  );

export const secrets = (description: string): TSchema => list(shape({ name: name() }), [], description);

const selector = (): TSchema => {
  const matchLabels = Type.Object({}, { additionalProperties: { type: 'string', ...LABEL } });
  return Type.Optional(
    shape({
      matchLabels: Type.Optional(matchLabels),
      matchExpressions: Type.Optional(Type.Array(anything())),
    }),
  );
};
const cidr = (): TSchema => Type.String({ pattern: `^(?:${CIDR})$` });
/** A NetworkPolicyPeer: a block of addresses goes with nothing else. */
export const policyPeers = (description: string): TSchema => {
  const ipBlock = shape({ cidr: cidr(), except: Type.Optional(Type.Array(cidr())) });
  const selectors = { podSelector: selector(), namespaceSelector: selector() };
  const peer = shape(
    { ...selectors, ipBlock: Type.Optional(ipBlock) },
    { minProperties: 1, dependencies: { ipBlock: { maxProperties: 1 } } },
  );
  return list(peer, [], description);
};

const toleration = (): TSchema =>
  shape({
    key: Type.Optional(Type.String()),
    operator: Type.Optional(Type.Enum(['Exists', 'Equal', 'Lt', 'Gt'])),
    value: Type.Optional(Type.String()),
    effect: Type.Optional(Type.Enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute'])),
    tolerationSeconds: Type.Optional(Type.Integer()),
  });
const variable = (): TSchema =>
  shape({
    name: Type.String({ pattern: '^[A-Za-z_.-][A-Za-z0-9_.-]*$' }),
    value: Type.Optional(Type.String()),
    valueFrom: Type.Optional(Type.Object({}, { minProperties: 1, maxProperties: 1 })),
  });
const VOLUME_SOURCES =
  'configMap secret projected downwardAPI emptyDir hostPath image persistentVolumeClaim ephemeral csi nfs iscsi fc'.split(
    ' ',
  );
/** Kubernetes takes an unknown source for an emptyDir. */
const volume = (): TSchema => {
  const sources = Object.fromEntries(VOLUME_SOURCES.map((source) => [source, Type.Optional(anything())]));
  return shape({ name: volumeName(), ...sources }, { minProperties: 2, maxProperties: 2 });
};
const volumeName = (): TSchema => Type.String({ pattern: `^${DNS_LABEL}$` });
const mount = (): TSchema =>
  shape({
    name: volumeName(),
    mountPath: Type.String({ pattern: `^${ABSOLUTE_PATH}$` }),
    subPath: Type.Optional(Type.String()),
    subPathExpr: Type.Optional(Type.String()),
    readOnly: Type.Optional(Type.Boolean()),
    recursiveReadOnly: Type.Optional(Type.String()),
    mountPropagation: Type.Optional(Type.String()),
  });
const affinity = (): TSchema => {
  const terms = {
    requiredDuringSchedulingIgnoredDuringExecution: Type.Optional(Type.Unknown()),
    preferredDuringSchedulingIgnoredDuringExecution: Type.Optional(Type.Array(anything())),
  };
  const kinds = ['nodeAffinity', 'podAffinity', 'podAntiAffinity'].map((kind) => [
    kind,
    Type.Optional(shape(terms)),
  ]);
  return shape(Object.fromEntries(kinds), { default: {}, description: 'Affinity of the pods.' });
};

/** What every part's pods have. */
export const pods = (tolerations: object[]): TProperties => ({
  nodeSelector: nodes('Nodes that the pods may be on.'),
  tolerations: list(toleration(), tolerations, 'Taints that the pods tolerate, beside the start-up taint.'),
  affinity: affinity(),
  podAnnotations: annotations('Annotations of the pods.'),
  podLabels: labels({}, 'Labels of the pods, beside the chart’s own.'),
  extraEnv: list(
    variable(),
    [],
    'Environment of the container, such as HTTPS_PROXY and NO_PROXY. Knobs belong into `config`, unless their value comes from elsewhere (`valueFrom`).',
  ),
  extraVolumes: list(
    volume(),
    [],
    'Volumes of the pods, such as certificate authorities named in `config.upstreams.hosts`.',
  ),
  extraVolumeMounts: list(mount(), [], 'Where the container has them.'),
});
