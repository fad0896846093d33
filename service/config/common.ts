import { hostname } from 'node:os';
import { Type } from 'typebox';

import { LOG_LEVELS } from '#service/logger.ts';
import { choice, count, duration, flag, hostPort, members, rate, size, text, texts } from './knobs.ts';

/** Groups of knobs that more than one part has. */

export const common = (statusListen: string) => ({
  security: choice(['off', 'cluster-key', 'mtls'], {
    default: 'cluster-key',
    description:
      'How the parts of a cluster know each other. `cluster-key`: a shared key proves membership on every listener outside loopback. `mtls`: a certificate does, and all that parts say to each other is TLS 1.3. `off`: anyone who reaches a listener is a member; for demonstrations only.',
  }),
  clusterKeyFile: Type.Optional(
    text({
      description:
        'File with the cluster key (32 bytes as base64 or hexadecimal), or with two keys on two lines while they are rotated: the first is proved, both are believed. Read again when it changes. Needed where `security` is `cluster-key`.',
      allowed: 'a file path',
    }),
  ),
  mtls: Type.Object({
    certFile: Type.Optional(
      text({
        description:
          'File with this part’s certificate (PEM), for both server and client authentication. Read again when it changes, as are the two below. Needed where `security` is `mtls`.',
        allowed: 'a file path',
      }),
    ),
    keyFile: Type.Optional(
      text({ description: 'File with the private key of that certificate (PEM).', allowed: 'a file path' }),
    ),
    caFile: Type.Optional(
      text({
        description: 'File with the authorities whose certificates are believed (PEM); no other is.',
        allowed: 'a file path',
      }),
    ),
    name: text({
      default: 'member.shoal.internal',
      pattern: '^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$',
      allowed: 'a DNS name in lower case',
      description:
        'DNS name that the certificate of every member has among its subject alternative names: other certificates of the same authorities let nobody in.',
    }),
  }),
  log: Type.Object({
    level: choice([...LOG_LEVELS], {
      default: 'info',
      description: 'The least severe log lines that are written.',
    }),
  }),
  status: Type.Object({
    listen: hostPort({
      default: statusListen,
      description: 'Where `/metrics`, `/healthz` and `/readyz` are served.',
    }),
    metricsTokenFile: Type.Optional(
      text({
        description:
          'File with the bearer token that reads `/metrics` when `status.listen` is outside loopback. Without it nobody reads them there, unless `security` is `off`.',
        allowed: 'a file path',
      }),
    ),
  }),
});

export const node = () =>
  Type.Object({
    name: text({
      default: hostname(),
      defaultText: "the host's name",
      description: 'Name of the node, unique in the cluster.',
    }),
    rack: Type.Optional(text({ description: 'Rack of the node; peers of the same rack are preferred.' })),
    zone: Type.Optional(text({ description: 'Zone of the node; peers of the same zone are preferred.' })),
    region: Type.Optional(
      text({ description: 'Region of the node; peers of the same region are preferred.' }),
    ),
  });

export const peer = (listen: string) =>
  Type.Object({
    listen: hostPort({ default: listen, description: 'Where the peer wire (BitTorrent) listens.' }),
    advertise: Type.Optional(
      hostPort({
        description:
          'Where other peers reach the peer wire. Without it the tracker tells them the address that the announce came from, and the port of `peer.listen`.',
      }),
    ),
    maxPeersPerSwarm: count({
      default: 24,
      minimum: 2,
      maximum: 500,
      description: 'Connections to peers for one blob.',
    }),
    maxConnections: count({
      default: 512,
      minimum: 8,
      maximum: 16_384,
      description: 'Connections to peers for all blobs together.',
    }),
  });

export const store = (path: string, quota: string) =>
  Type.Object({
    path: text({
      default: path,
      allowed: 'a directory path',
      description: 'Directory of the blobs and of the admin socket.',
    }),
    quotaBytes: size({
      default: quota,
      minimum: '1MiB',
      maximum: '4096TiB',
      description: 'Most bytes of blobs kept on disk; the least recently used go first.',
    }),
  });

export const REGISTRY_PATTERN = '^(?:\\*\\.)?[A-Za-z0-9\\[][A-Za-z0-9.:_\\]-]*$';
export const REGISTRIES =
  'a list of registry names such as ghcr.io, registry.example.com:5000 or *.example.com';

export const upstreams = () =>
  Type.Object({
    allow: texts({
      pattern: REGISTRY_PATTERN,
      allowed: REGISTRIES,
      description: 'Upstream registries that may be asked. Empty: all but those in `upstreams.deny`.',
    }),
    deny: texts({
      pattern: REGISTRY_PATTERN,
      allowed: REGISTRIES,
      description: 'Upstream registries that are never asked, even if allowed.',
    }),
    hosts: Type.Record(
      Type.String(),
      Type.Object(
        {
          endpoint: Type.Optional(Type.String({ pattern: '^https?://' })),
          ca: Type.Optional(Type.String({ minLength: 1 })),
          plainHttp: Type.Optional(Type.Boolean()),
        },
        { additionalProperties: false },
      ),
      {
        default: {},
        maxProperties: 256,
        allowed:
          'a map from registry, token realm or blob host to {endpoint: URL, ca: PEM file, plainHttp: true|false}',
        description:
          'How single upstream hosts are reached: `endpoint` is the base URL asked in the name of the registry, `ca` a PEM file of authorities trusted beside those of the system, `plainHttp: true` permits http.',
      },
    ),
  });

/** Of every limit of bandwidth, configured or set at run time. */
export const BANDWIDTH_BOUNDS = { minimum: '64kB/s', maximum: '1TB/s' } as const;

export const bandwidth = () =>
  Type.Object({
    downloadBytesPerSecond: Type.Optional(
      rate({
        ...BANDWIDTH_BOUNDS,
        description:
          'Limit of all downloads together. Without it there is none. Changeable at run time: `shoal limits`.',
      }),
    ),
    uploadBytesPerSecond: Type.Optional(
      rate({
        ...BANDWIDTH_BOUNDS,
        description:
          'Limit of all uploads to peers together. Without it there is none. Changeable at run time: `shoal limits`.',
      }),
    ),
  });

/** @param endpoints whether the part may ask Kubernetes for them */
export const trackers = (endpoints: boolean) =>
  members({
    endpoints,
    description:
      "Trackers' HTTP listeners, asked in this order until one answers; discovered ones come last, in an order that is the same everywhere.",
  });

/** 32 bytes as base64. */
export const PUBLIC_KEY_PATTERN = '^[A-Za-z0-9+/]{43}=$';

export const trustedOriginKeys = () =>
  texts({
    pattern: PUBLIC_KEY_PATTERN,
    allowed: 'a list of public keys, each 32 bytes as base64 as "shoal keygen" prints them',
    description: 'Public keys of the origins whose signed hashes are believed.',
  });

export const upstreamWaitMs = () =>
  duration({
    default: '60s',
    minimum: '0',
    maximum: '1h',
    description: 'How long a read waits for an upstream registry that has vanished before it fails.',
  });

export const selfTest = (description: string) => flag({ default: true, description });

export const strangers = (description: string) => flag({ default: false, description });
