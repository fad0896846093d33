import { readFileSync } from 'node:fs';

/** An inclusive range of ports. */
type PortRange = readonly [first: number, last: number];

/** Ports that something else on the machine may be given. */
export interface TakenPorts {
  /** `ip_local_port_range`: the kernel gives these to outgoing connections. */
  readonly ephemeral: PortRange;
  /** `ip_local_reserved_ports`: exempt from that. */
  readonly reserved: readonly PortRange[];
}

/** Kubernetes' default `--service-node-port-range`. */
const NODE_PORTS: PortRange = [30_000, 32_767];
/** The kernel's default, for machines without /proc. */
const DEFAULT_EPHEMERAL: PortRange = [32_768, 60_999];

/** Reads what the kernel may hand out on this machine (ip-sysctl). */
export function readTakenPorts(): TakenPorts {
  const [first, last] = read('ip_local_port_range').split(/\s+/).map(Number);
  const reserved = read('ip_local_reserved_ports')
    .split(',')
    .filter((range) => range !== '')
    .map((range): PortRange => {
      const [from = Number.NaN, to = from] = range.split('-').map(Number);
      return [from, to];
    });
  return { ephemeral: first && last ? [first, last] : DEFAULT_EPHEMERAL, reserved };
}

function read(name: string): string {
  try {
    return readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8').trim();
  } catch {
    return ''; // not Linux, or /proc is masked
  }
}

/** Why a door must not listen at this port, or undefined where it may. */
export function portDanger(port: number, taken: TakenPorts): string | undefined {
  if (within(port, NODE_PORTS))
    return `port ${port} lies in Kubernetes' NodePort range ${NODE_PORTS.join('–')}, where a Service could capture the door and with it pull secrets`;
  if (within(port, taken.ephemeral) && !taken.reserved.some((range) => within(port, range)))
    return `port ${port} lies in the kernel's ephemeral range ${taken.ephemeral.join('–')} (net.ipv4.ip_local_port_range), where another process could be given it; choose one outside or reserve it in net.ipv4.ip_local_reserved_ports`;
  return undefined;
}

function within(port: number, [first, last]: PortRange): boolean {
  return port >= first && port <= last;
}
