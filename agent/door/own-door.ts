import { lookup } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';
import { ADDRESS_MS, REMEMBERED_ADDRESSES } from '#agent/defaults.ts';
import { LruMap } from '#service/lru-map.ts';
import { OciError } from '#registry/oci-error.ts';
import { isLoopback } from '#service/host-port.ts';

export interface OwnDoorOptions {
  /** Where the door listens, once it does. */
  readonly door: () => { readonly port: number } | undefined;
  /** Base URL that a registry is asked at. */
  readonly endpoint: (registry: string) => URL;
  readonly now: () => number;
}

/** Which registries are the door itself, by whatever name: asking them would go round in a circle. */
export class OwnDoor {
  readonly #options: OwnDoorOptions;
  readonly #own = new LruMap<string, { isOwn: boolean; at: number }>(REMEMBERED_ADDRESSES);

  constructor(options: OwnDoorOptions) {
    this.#options = options;
  }

  /** @throws OciError DENIED where the registry is the door */
  async check(registry: string): Promise<void> {
    if (await this.#isDoor(registry))
      throw new OciError('DENIED', `${registry} is this mirror itself: name the registry behind it`);
  }

  /** A name is looked up only where the port is the door's own, so the usual request costs nothing. */
  async #isDoor(registry: string): Promise<boolean> {
    const { hostname, port, protocol } = this.#options.endpoint(registry);
    const door = this.#options.door();
    if (door === undefined || Number(port || (protocol === 'https:' ? 443 : 80)) !== door.port) return false;
    const host = hostname.replace(/^\[(?<address>.+)\]$/u, '$<address>');
    const known = this.#own.get(host);
    if (known !== undefined && this.#options.now() - known.at < ADDRESS_MS) return known.isOwn;
    const isOwn = await isThisMachine(host);
    this.#own.set(host, { isOwn, at: this.#options.now() });
    return isOwn;
  }
}

async function isThisMachine(host: string): Promise<boolean> {
  const own = new Set(
    Object.values(networkInterfaces()).flatMap((addresses) =>
      (addresses ?? []).map(({ address }) => address),
    ),
  );
  try {
    const addresses = await lookup(host, { all: true });
    return addresses.some(({ address }) => isLoopback(address) || isAnyAddress(address) || own.has(address));
  } catch {
    // A name that cannot be looked up is not reached either.
    return false;
  }
}

/** 0.0.0.0 and :: lead to the machine itself when they are dialled. */
function isAnyAddress(address: string): boolean {
  return address === '0.0.0.0' || /^[0:]+$/u.test(address);
}
