import { Type } from 'typebox';
import type { TObject, TProperties, TSchema } from 'typebox';

import { CIDR, LABEL_KEY, LABEL_VALUE, OBJECT_NAME, QUANTITY } from './patterns.ts';

/** Kinds of values that the chart has, each with its default and what it does. */

export const group = (description: string, properties: TProperties): TObject =>
  Type.Object(properties, { description, additionalProperties: false });
export const text = (value: string, description: string, pattern: string, options: object = {}): TSchema =>
  Type.String({ default: value, description, pattern: `^(?:${pattern})$`, ...options });
/** Empty by default. */
export const optional = (description: string, pattern: string, options: object = {}): TSchema =>
  text('', description, `|${pattern}`, options);
export const flag = (value: boolean, description: string): TSchema =>
  Type.Boolean({ default: value, description });
export const count = (
  value: number,
  [minimum, maximum]: readonly [number, number],
  description: string,
): TSchema => Type.Integer({ default: value, minimum, maximum, description });
/** At most as many as a list of knobs may have. */
export const texts = (description: string, pattern: string): TSchema =>
  Type.Array(Type.String({ pattern: `^(?:${pattern})$`, maxLength: 1024 }), {
    default: [],
    maxItems: 256,
    description,
  });
export const port = (value: number, description: string): TSchema =>
  count(value, [1024, 29_999], description);

/** Of Kubernetes, as far as a mistake there can be seen here. */
const shape = (properties: TProperties, options: object = {}): TObject =>
  Type.Object(properties, { additionalProperties: false, ...options });
const name = (): TSchema => Type.String({ pattern: `^${OBJECT_NAME}$`, maxLength: 253 });
const anything = (): TSchema => Type.Object({}, { additionalProperties: true });
const list = (items: TSchema, value: object[], description: string): TSchema =>
  Type.Array(items, { default: value, description });

const pairs = (value: object, description: string, options: object): TSchema =>
  Type.Object(
    {},
    { default: value, description, propertyNames: { pattern: `^(?:${LABEL_KEY})$` }, ...options },
  );
const LABELS = { additionalProperties: { type: 'string', pattern: `^${LABEL_VALUE}$` } };
export const labels = (value: object, description: string): TSchema => pairs(value, description, LABELS);
export const annotations = (description: string): TSchema =>
  pairs({}, description, { additionalProperties: { type: 'string' } });
/** The image is one of Linux. */
const nodes = (description: string): TSchema =>
  pairs({ 'kubernetes.io/os': 'linux' }, description, {
    ...LABELS,
    properties: { 'kubernetes.io/os': { const: 'linux' } },
  });

const amounts = (): TSchema =>
  Type.Optional(
    Type.Object(
      {},
      { additionalProperties: { type: ['string', 'number'], pattern: `^${QUANTITY}$`, minimum: 0 } },
    ),
  );
export const resources = (cpu: string, memory: string, limit: string): TSchema =>
  shape(
    { requests: amounts(), limits: amounts(), claims: Type.Optional(Type.Array(anything())) },
    {
      default: { requests: { cpu, memory }, limits: { memory: limit } },
      description: 'Requests and limits of the container.',
    },
  );

export const secrets = (description: string): TSchema => list(shape({ name: name() }), [], description);

const cidr = (): TSchema => Type.String({ pattern: `^(?:${CIDR})$` });
/** A NetworkPolicyPeer: a block of addresses goes with nothing else. */
export const policyPeers = (description: string): TSchema => {
  const ipBlock = shape({ cidr: cidr(), except: Type.Optional(Type.Array(cidr())) });
  const selectors = { podSelector: Type.Optional(anything()), namespaceSelector: Type.Optional(anything()) };
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
    valueFrom: Type.Optional(anything()),
  });
const volume = (): TSchema => Type.Object({ name: name() }, { additionalProperties: true });
const mount = (): TSchema =>
  Type.Object(
    { name: name(), mountPath: Type.String({ pattern: '^/[^:]+$' }) },
    { additionalProperties: true },
  );
const affinity = (): TSchema => {
  const kinds = ['nodeAffinity', 'podAffinity', 'podAntiAffinity'];
  const properties = Object.fromEntries(kinds.map((kind) => [kind, Type.Optional(anything())]));
  return shape(properties, { default: {}, description: 'Affinity of the pods.' });
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
