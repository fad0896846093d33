import { Type } from 'typebox';

import {
  bandwidth,
  common,
  node,
  peer,
  selfTest,
  store,
  strangers,
  trackers,
  trustedOriginKeys,
  upstreamWaitMs,
  upstreams,
} from './common.ts';
import { count, duration, hostPort, members, rate, text, texts } from './knobs.ts';

/** Every knob of an origin. */
export const OriginSchema = Type.Object({
  ...common('127.0.0.1:29521'),
  node: node(),
  listen: hostPort({ default: '0.0.0.0:29520', description: 'Where agents and other origins ask by HTTP.' }),
  advertise: Type.Optional(
    hostPort({
      description:
        'This origin as it is named in `origins`. Needed when `origins` names more than itself one by one; among discovered ones it knows itself by its addresses.',
    }),
  ),
  peer: peer('0.0.0.0:29522'),
  origins: members({
    endpoints: true,
    description: 'All origins of the ring, this one included, named alike everywhere.',
  }),
  trackers: trackers(true),
  signingKeyFile: text({
    allowed: 'a file path',
    description: 'File with the Ed25519 key (PEM, or a 32-byte seed as base64) that signs piece hashes.',
  }),
  trustedOriginKeys: trustedOriginKeys(),
  store: store('/var/lib/shoal/origin', '200GiB'),
  upstreams: upstreams(),
  bandwidth: bandwidth(),
  tags: Type.Object({
    lifetimeMs: duration({
      default: '15s',
      minimum: '0',
      maximum: '1h',
      description: 'How long a resolved tag is believed before the upstream is asked again.',
    }),
    staleMs: duration({
      default: '1h',
      minimum: '0',
      maximum: '30d',
      description: 'How long a tag is still answered from memory while the upstream is unreachable.',
    }),
    maxEntries: count({
      default: 10_000,
      minimum: 16,
      maximum: 1_000_000,
      description: 'Most tags remembered.',
    }),
  }),
  selfTest: selfTest(
    'Whether to hold the small images (6 MB) that agents pull before they say that they are ready.',
  ),
  strangers: strangers(
    'Whether stock BitTorrent clients may take blobs and `.torrent` files from this origin, as `strangerRepositories` says.',
  ),
  strangerRepositories: texts({
    pattern: '^[A-Za-z0-9.:_*/\\[\\]-]+$',
    allowed: 'a list of repositories such as ghcr.io/org/app, registry.example.com/public/* or *',
    description:
      'Repositories whose blobs stock clients may have; `*` stands for any characters. They prove nothing, so name only what anybody may read. Needed where `strangers` is true.',
  }),
  minimumRateBytesPerSecond: rate({
    default: '64kB/s',
    minimum: '1kB/s',
    maximum: '1GB/s',
    description:
      'A read from an upstream registry that comes more slowly for ten seconds is asked for anew from where it stands, in the name of the next caller who waits for it.',
  }),
  upstreamWaitMs: upstreamWaitMs(),
});

export type OriginConfig = Type.Static<typeof OriginSchema>;
