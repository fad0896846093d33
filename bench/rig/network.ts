import { command } from './command.ts';
import { guardNamespaces } from './guard.ts';
import { NAMESPACE_PREFIX } from './defaults.ts';

/** A link's width, either way. */
export interface LinkRate {
  readonly upMbit: number;
  readonly downMbit: number;
}

export interface NetworkOptions {
  /** Switches; with two, a trunk joins them. */
  readonly zones: 1 | 2;
  /** Width of the trunk, either way; undefined: not shaped. */
  readonly trunkMbit: number | undefined;
  /** How long a full queue of a shaped link delays a packet. */
  readonly queueMs: number;
  /** Least size of a link's token bucket. */
  readonly burstBytes: number;
}

/** Bytes of frames that passed a port of a switch, seen from the host. */
export interface Counters {
  readonly sent: number;
  readonly received: number;
}

const BRIDGE = 'bridge0';
const TRUNK = 'trunk';
const HOST_DEVICE = 'eth0';
/** A fast link's bucket has to hold what it sends between two ticks of the kernel's timer. */
const BURST_MS = 2;

/**
 * Hosts, each a network namespace, on a switch, which is a bridge in a namespace of its own: nothing of it is in the
 * machine's own network. A host's link is shaped by tbf at both ends: what it sends at its own device, what it
 * receives at the switch's port.
 */
export class Network implements AsyncDisposable {
  readonly #prefix: string;
  readonly #switches: readonly string[];
  readonly #options: NetworkOptions;
  readonly #guard: Disposable;
  readonly #namespaces = new Set<string>();
  #hosts = 0;

  private constructor(options: NetworkOptions) {
    this.#prefix = `${NAMESPACE_PREFIX}${process.pid}-`;
    this.#options = options;
    this.#switches = Array.from({ length: options.zones }, (_, zone) => `${this.#prefix}switch-${zone + 1}`);
    this.#guard = guardNamespaces(this.#prefix);
  }

  static async create(options: NetworkOptions): Promise<Network> {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network(options));
    await network.#makeSwitches();
    stack.move();
    return network;
  }

  /** A host in a zone (counted from 0), with a link that is not shaped. */
  async addHost(name: string, zone = 0): Promise<Host> {
    const namespace = this.#prefix + name;
    const switchNamespace = this.#switches[zone];
    if (switchNamespace === undefined) throw new RangeError(`there is no zone ${zone}`);
    const number = ++this.#hosts;
    const port = `p${number}`;
    const address = `10.77.${number >> 8}.${number & 255}`;
    await this.#makeNamespace(namespace);
    await layCable([switchNamespace, port], [namespace, HOST_DEVICE]);
    await command('ip', '-n', switchNamespace, 'link', 'set', 'dev', port, 'master', BRIDGE, 'up');
    await command('ip', '-n', namespace, 'address', 'add', `${address}/16`, 'dev', HOST_DEVICE);
    await command('ip', '-n', namespace, 'link', 'set', 'dev', HOST_DEVICE, 'up');
    return new Host({ name, namespace, address, switchNamespace, port, shaping: this.#options });
  }

  /** Nothing passes between the zones until it is joined again. */
  async cutTrunk(cut: boolean): Promise<void> {
    await command('ip', '-n', this.#switches[0]!, 'link', 'set', 'dev', TRUNK, cut ? 'down' : 'up');
  }

  /** Bytes over the trunk, seen from the first zone: sent is what went to the second. */
  async trunkCounters(): Promise<Counters> {
    const { transmitted, received } = await countersOf(this.#switches[0]!, TRUNK);
    return { sent: transmitted, received };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // What still runs in a namespace keeps it alive, but it is off the network.
    for (const namespace of this.#namespaces) {
      await command('ip', 'netns', 'delete', namespace).catch((error: unknown) => console.error(error));
    }
    this.#namespaces.clear();
    this.#guard[Symbol.dispose]();
  }

  async #makeSwitches(): Promise<void> {
    for (const namespace of this.#switches) {
      await this.#makeNamespace(namespace);
      await command('ip', '-n', namespace, 'link', 'add', 'name', BRIDGE, 'type', 'bridge');
      await command('ip', '-n', namespace, 'link', 'set', 'dev', BRIDGE, 'up');
    }
    const [first, second] = this.#switches;
    if (first === undefined || second === undefined) return;
    await layCable([first, TRUNK], [second, TRUNK]);
    for (const namespace of [first, second]) {
      await command('ip', '-n', namespace, 'link', 'set', 'dev', TRUNK, 'master', BRIDGE, 'up');
      await shapeDevice(namespace, TRUNK, this.#options.trunkMbit, this.#options);
    }
  }

  async #makeNamespace(namespace: string): Promise<void> {
    await command('ip', 'netns', 'add', namespace);
    this.#namespaces.add(namespace);
    await command('ip', '-n', namespace, 'link', 'set', 'dev', 'lo', 'up');
  }
}

type Shaping = Pick<NetworkOptions, 'queueMs' | 'burstBytes'>;

interface Place {
  readonly name: string;
  readonly namespace: string;
  readonly address: string;
  readonly switchNamespace: string;
  readonly port: string;
  readonly shaping: Shaping;
}

export class Host {
  readonly #place: Place;

  constructor(place: Place) {
    this.#place = place;
  }

  get name(): string {
    return this.#place.name;
  }

  get namespace(): string {
    return this.#place.namespace;
  }

  get address(): string {
    return this.#place.address;
  }

  /** Undefined takes the limits away. */
  async shape(rate: LinkRate | undefined): Promise<void> {
    const { namespace, switchNamespace, port, shaping } = this.#place;
    await shapeDevice(namespace, HOST_DEVICE, rate?.upMbit, shaping);
    await shapeDevice(switchNamespace, port, rate?.downMbit, shaping);
  }

  /** Nothing reaches it any more, and nothing answers for it. */
  async unplug(): Promise<void> {
    const { switchNamespace, port } = this.#place;
    await command('ip', '-n', switchNamespace, 'link', 'set', 'dev', port, 'down');
  }

  async counters(): Promise<Counters> {
    const { transmitted, received } = await countersOf(this.#place.switchNamespace, this.#place.port);
    return { sent: received, received: transmitted };
  }
}

type Plug = readonly [namespace: string, device: string];

async function layCable([near, nearDevice]: Plug, [far, farDevice]: Plug): Promise<void> {
  const peer = ['type', 'veth', 'peer', 'name', farDevice, 'netns', far];
  await command('ip', 'link', 'add', 'name', nearDevice, 'netns', near, ...peer);
}

async function shapeDevice(
  namespace: string,
  device: string,
  mbit: number | undefined,
  { queueMs, burstBytes }: Shaping,
): Promise<void> {
  const at = ['-n', namespace, 'qdisc'];
  if (mbit === undefined) {
    // Without a limit there may be none to take away.
    await command('tc', ...at, 'delete', 'dev', device, 'root').catch(() => {});
    return;
  }
  const burst = Math.max(burstBytes, Math.ceil((mbit * 1e6 * BURST_MS) / 8 / 1000));
  const bucket = ['tbf', 'rate', `${mbit}mbit`, 'burst', `${burst}b`, 'latency', `${queueMs}ms`];
  await command('tc', ...at, 'replace', 'dev', device, 'root', ...bucket);
}

interface LinkStatistics {
  readonly stats64: { readonly rx: { readonly bytes: number }; readonly tx: { readonly bytes: number } };
}

async function countersOf(
  namespace: string,
  device: string,
): Promise<{ received: number; transmitted: number }> {
  const text = await command('ip', '-n', namespace, '-s', '-j', 'link', 'show', 'dev', device);
  const [link]: LinkStatistics[] = JSON.parse(text);
  if (link === undefined) throw new Error(`${device} in ${namespace} has no counters`);
  return { received: link.stats64.rx.bytes, transmitted: link.stats64.tx.bytes };
}
