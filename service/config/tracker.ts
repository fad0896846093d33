import { Type } from 'typebox';

import { common } from './common.ts';
import { count, duration, hostPort } from './knobs.ts';

/** Every knob of a tracker. */
export const TrackerSchema = Type.Object({
  ...common('127.0.0.1:29511'),
  listen: hostPort({ default: '0.0.0.0:29510', description: 'Where agents and origins announce by HTTP.' }),
  announceIntervalMs: duration({
    default: '30s',
    minimum: '1s',
    maximum: '1h',
    description: 'How often members announce. A restarted tracker is whole again after one interval.',
  }),
  memberTimeoutMs: duration({
    default: '75s',
    minimum: '2s',
    maximum: '3h',
    description:
      'A member that has not announced for so long is forgotten. At least twice `announceInterval`.',
  }),
  maxPeersPerAnswer: count({
    default: 50,
    minimum: 1,
    maximum: 500,
    description: 'Most peers named in one answer for one swarm.',
  }),
  leases: Type.Object({
    perBlob: count({
      default: 2,
      minimum: 1,
      maximum: 64,
      description: 'How many agents may read one blob from the upstream at once when no origin helps.',
    }),
    ttlMs: duration({
      default: '10s',
      minimum: '1s',
      maximum: '10m',
      description: 'How long a lease to read from the upstream lasts unless it is renewed.',
    }),
  }),
  strangers: Type.Object({
    listen: Type.Optional(
      hostPort({
        description:
          'Where stock BitTorrent clients announce (HTTP; UDP too where `security` is `off`), for example `0.0.0.0:29512`. Without it they are not admitted.',
      }),
    ),
  }),
});

export type TrackerConfig = Type.Static<typeof TrackerSchema>;
