import { networkInterfaces } from 'node:os';
import type { OriginConfig } from '#service/config/origin.ts';
import type { Discovery } from '#service/discovery/discovery.ts';

/** The ring of origins, and which of them this one is. Both may change while it runs. */
export interface RingPlace {
  /** This origin as `members` names it. */
  readonly self: string;
  /** `host:port` of each, alike on all of them. */
  readonly members: readonly string[];
}

/** An origin of which no other is told is a ring of its own; among discovered ones it is the one at its own address. */
export function ringOf(
  { advertise, listen }: Pick<OriginConfig, 'advertise' | 'listen'>,
  origins: Pick<Discovery, 'current' | 'memberAt'>,
): RingPlace {
  let found: { readonly among: readonly string[]; readonly self: string | undefined } | undefined;
  return {
    get self() {
      if (advertise !== undefined) return advertise;
      if (found?.among !== origins.current)
        found = { among: origins.current, self: origins.memberAt(ownAddresses()) };
      return found.self ?? listen;
    },
    get members() {
      return origins.current.length > 0 ? origins.current : [this.self];
    },
  };
}

/** Pods keep their addresses, machines do not. */
function ownAddresses(): Set<string> {
  return new Set(
    Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address)),
  );
}
