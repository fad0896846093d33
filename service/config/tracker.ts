import { Type } from 'typebox';

import { common } from './common.ts';
import { count, duration, flag, hostPort, text } from './knobs.ts';

const LABEL_NAME = '^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$';
const OBJECT_NAME = '^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$';

const labelName = (place: string, name: string) =>
  text({
    default: name,
    pattern: LABEL_NAME,
    allowed: "a label's name",
    description: `Label of a Node that names its ${place}, for members that do not tell their own.`,
  });

const objectName = (name: string, description: string) =>
  text({ default: name, pattern: OBJECT_NAME, allowed: "an object's name", description });

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
  maxCrossZonePeers: count({
    default: 4,
    minimum: 0,
    maximum: 500,
    description:
      'Most agents of other zones named in one answer for one swarm, where the own zone has eight or more. Each zone needs a few to get what it lacks; more cost traffic between zones.',
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
  kubernetes: Type.Object({
    enabled: flag({
      default: false,
      description:
        'Whether this tracker runs in a Kubernetes cluster that it serves: it reads where nodes are, and one of the trackers runs preheats.',
    }),
    agentService: objectName(
      'shoal-agent',
      'Headless Service of the agents, in this namespace, with a port `members`.',
    ),
    lease: objectName('shoal-tracker', 'Lease by which one of the trackers leads.'),
    startupTaint: flag({
      default: false,
      description:
        'Whether the taint `node.shoal.dev/agent-not-ready` is taken from nodes whose agent serves. It takes the right to patch Nodes.',
    }),
    zoneLabel: labelName('zone', 'topology.kubernetes.io/zone'),
    regionLabel: labelName('region', 'topology.kubernetes.io/region'),
    rackLabel: labelName('rack', 'topology.kubernetes.io/rack'),
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
