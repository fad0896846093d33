import { Type } from 'typebox';

import {
  bandwidth,
  common,
  node,
  peer,
  REGISTRIES,
  REGISTRY_PATTERN,
  selfTest,
  store,
  strangers,
  trackers,
  trustedOriginKeys,
  upstreams,
  upstreamWaitMs,
} from './common.ts';
import { count, duration, hostPort, members, text, texts } from './knobs.ts';

/** Every knob of the agent. */
export const AgentSchema = Type.Object({
  ...common('127.0.0.1:29501'),
  node: node(),
  door: Type.Object({
    listen: hostPort({
      default: '127.0.0.1:29500',
      description:
        "The registry mirror that the node's container runtime asks. Must be on loopback, with a port outside Kubernetes' NodePort range (30000–32767) and outside the kernel's ephemeral range: there a Service or another process could take it and with it pull secrets.",
    }),
    logins: texts({
      pattern: REGISTRY_PATTERN,
      allowed: REGISTRIES,
      description:
        'Registries to which a name and password that docker, podman or skopeo gave to the door itself are handed on. Such a client may send the same password whatever registry it asks for, so name only registries that may see it. Empty: none, and those clients pull anonymously. containerd needs no entry: it answers the registry itself.',
    }),
    requestsPerSecond: count({
      default: 500,
      minimum: 1,
      maximum: 100_000,
      description:
        'Most requests a second from one caller, that is one credential, or all callers without; twice as many at once. More get 503.',
    }),
  }),
  peer: peer('0.0.0.0:29502'),
  members: Type.Object({
    listen: Type.Optional(
      hostPort({
        description:
          'Where members of the cluster ask this agent by HTTP, for example `0.0.0.0:29503`: preheats have it fetch images. Without it nobody may.',
      }),
    ),
  }),
  mirror: Type.Object({
    reportFile: Type.Optional(
      text({
        description:
          'File that `shoal config … --hold --report` makes while the container runtime’s mirror configuration is not in place. While it is there, the agent has the tracker tell whoever runs the cluster.',
        allowed: 'a file path',
      }),
    ),
  }),
  trackers: trackers(false),
  origins: members({
    endpoints: false,
    description:
      "Origins' HTTP listeners; the ring of all of them says which one owns a digest. Named alike everywhere.",
  }),
  trustedOriginKeys: trustedOriginKeys(),
  store: store('/var/lib/shoal/agent', '50GiB'),
  upstreams: upstreams(),
  bandwidth: bandwidth(),
  rights: Type.Object({
    verdictLifetimeMs: duration({
      default: '5m',
      minimum: '0',
      maximum: '1h',
      description:
        'How long an upstream’s yes to a credential and repository is believed without asking again.',
    }),
    staleAuthMs: duration({
      default: '24h',
      minimum: '0',
      maximum: '30d',
      description:
        'How long an earlier yes still counts while the upstream is unreachable. This is the longest that a revoked credential can go on reading what is cached.',
    }),
    maxVerdicts: count({
      default: 10_000,
      minimum: 16,
      maximum: 1_000_000,
      description: 'Most verdicts remembered.',
    }),
  }),
  fallback: Type.Object({
    stallMs: duration({
      default: '2s',
      minimum: '100ms',
      maximum: '5m',
      description:
        'How long a read waits for the swarm without progress before missing ranges are read from the upstream.',
    }),
    upstreamWaitMs: upstreamWaitMs(),
  }),
  selfTest: selfTest(
    'Whether the agent, before it says that it is ready, pulls five small images (6 MB) that origins hold for this through its own door. It waits at most 5 s: where no origin is there it is ready, too.',
  ),
  strangers: strangers(
    'Whether stock BitTorrent clients may take blobs from this agent. They prove nothing and see all they ask for.',
  ),
});

export type AgentConfig = Type.Static<typeof AgentSchema>;
