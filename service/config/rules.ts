import { type HostPort, isLoopback, parseHostPort } from '../host-port.ts';
import type { Security } from '../identity.ts';
import type { AgentConfig } from './agent.ts';
import { ConfigError } from './config-error.ts';
import type { OriginConfig } from './origin.ts';
import { portDanger } from './ports.ts';
import type { TakenPorts } from './ports.ts';
import type { TrackerConfig } from './tracker.ts';
import { formatDuration } from './units.ts';

/** What no single knob shows: rules between knobs. Each throws a ConfigError. */

interface Secured {
  readonly security: Security['mode'];
  readonly clusterKeyFile?: string;
  readonly mtls: { readonly certFile?: string; readonly keyFile?: string; readonly caFile?: string };
}

function checkSecurity({ security, clusterKeyFile, mtls }: Secured): void {
  const missing = (['certFile', 'keyFile', 'caFile'] as const).find((knob) => mtls[knob] === undefined);
  if (security === 'mtls' && missing !== undefined)
    throw new ConfigError(`mtls.${missing} is not set: it is needed where security is mtls`);
  if (security === 'cluster-key' && clusterKeyFile === undefined)
    throw new ConfigError(
      'clusterKeyFile is not set: it is needed where security is cluster-key (a key is made by "shoal keygen")',
    );
}

export function checkAgent(config: AgentConfig, taken: () => TakenPorts): void {
  checkSecurity(config);
  checkDoor(config, taken);
  checkPeerPort(config.peer.listen, config.security);
  if (config.origins.length > 0 && config.trustedOriginKeys.length === 0)
    throw new ConfigError(
      'trustedOriginKeys is empty although origins are named: without their public keys nothing of theirs could be believed',
    );
}

const NOT_LOOPBACK =
  'only an address on loopback is allowed, such as 127.0.0.1:29500, because runtimes hand their credentials to the door';

function checkDoor({ door, security }: AgentConfig, taken: () => TakenPorts): void {
  const { host = '', port = 0 } = parseHostPort(door.listen) ?? {};
  if (!isLoopback(host)) throw new ConfigError(`door.listen is "${door.listen}": ${NOT_LOOPBACK}`);
  if (port === 0 && security === 'off') return;
  if (port === 0)
    throw new ConfigError(`door.listen is "${door.listen}": a fixed port is needed, such as 127.0.0.1:29500`);
  const danger = portDanger(port, taken());
  if (danger !== undefined) throw new ConfigError(`door.listen is "${door.listen}": ${danger}`);
}

/** Why the agent would not listen at that address, or undefined where it would. */
export function doorDanger({ host, port }: HostPort, taken: TakenPorts): string | undefined {
  return isLoopback(host) ? portDanger(port, taken) : NOT_LOOPBACK;
}

/** A peer wire that any port may have would be announced wrongly behind a proxy; only demonstrations take what is free. */
function checkPeerPort(listen: string, security: Security['mode']): void {
  if (security !== 'off' && parseHostPort(listen)?.port === 0)
    throw new ConfigError(`peer.listen is "${listen}": a fixed port is needed unless security is off`);
}

export function checkOrigin(config: OriginConfig): void {
  if (config.strangers && config.strangerRepositories.length === 0)
    throw new ConfigError(
      'strangerRepositories is empty although strangers is true: name the repositories that anybody may read, or "*"',
    );
  checkSecurity(config);
  checkPeerPort(config.peer.listen, config.security);
  const { origins, advertise } = config;
  // Of discovered ones nothing is known yet.
  if (origins.some((origin) => origin.includes('+'))) return;
  if (
    origins.length > 0 &&
    advertise === undefined &&
    !(origins.length === 1 && origins[0] === config.listen)
  )
    throw new ConfigError(
      'advertise is not set: an origin of a ring must know which of origins it is itself',
    );
  if (advertise !== undefined && origins.length > 0 && !origins.includes(advertise))
    throw new ConfigError(`advertise is "${advertise}": one of origins is allowed (${origins.join(', ')})`);
}

export function checkTracker(config: TrackerConfig): void {
  checkSecurity(config);
  if (config.memberTimeoutMs < 2 * config.announceIntervalMs)
    throw new ConfigError(
      `memberTimeout is ${formatDuration(config.memberTimeoutMs)}, but announceInterval is ${formatDuration(config.announceIntervalMs)}: a memberTimeout of at least twice that, ${formatDuration(2 * config.announceIntervalMs)}, is allowed`,
    );
}
