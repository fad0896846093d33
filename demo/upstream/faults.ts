import type { UpstreamPart } from './access-log.ts';
import type { Route } from './route.ts';

export type Fault =
  /** The connection ends after so many body bytes of one response. */
  | { kind: 'cut'; afterBytes: number }
  /** The response declares itself complete before the content is: a clean end, a short Content-Length. */
  | { kind: 'truncate'; atByte: number }
  /** The byte at this offset of the content is inverted, whatever the range. */
  | { kind: 'corrupt'; offset: number }
  | { kind: 'status'; status: 429 | 500 | 502 | 503 | 504; retryAfterSeconds?: number }
  /** 200 with the whole, whatever the range. */
  | { kind: 'ignore-range' }
  /** No answer at all for as long as the caller waits. */
  | { kind: 'hang' }
  | { kind: 'trickle'; bytesPerSecond: number };

/** Which requests; a condition that is left out holds for all. */
export interface FaultMatch {
  part?: UpstreamPart;
  method?: 'GET' | 'HEAD';
  route?: Route['kind'];
  repository?: string;
  digest?: string;
  /** After so many requests the fault is over; without it, it stays until removed. */
  times?: number;
}

export interface InjectedFault {
  /** Requests that got it so far. */
  readonly hits: number;
  remove(): void;
}

export interface FaultedRequest {
  part: UpstreamPart;
  method: string;
  route: Route;
}

interface Rule {
  fault: Fault;
  match: FaultMatch;
  hits: number;
}

/** What goes wrong, for whom and how often. Several faults may hit one request. */
export class Faults {
  readonly #rules = new Set<Rule>();

  inject(fault: Fault, match: FaultMatch = {}): InjectedFault {
    const rule: Rule = { fault, match, hits: 0 };
    this.#rules.add(rule);
    return {
      get hits() {
        return rule.hits;
      },
      remove: () => void this.#rules.delete(rule),
    };
  }

  clear(): void {
    this.#rules.clear();
  }

  /** Counts the request against every rule that it matches. */
  hit(request: FaultedRequest): Fault[] {
    const hit = [...this.#rules].filter(({ match }) => matches(match, request));
    for (const rule of hit) {
      rule.hits++;
      if (rule.hits === rule.match.times) this.#rules.delete(rule);
    }
    return hit.map(({ fault }) => fault);
  }
}

export function findFault<K extends Fault['kind']>(
  faults: readonly Fault[],
  kind: K,
): Extract<Fault, { kind: K }> | undefined {
  return faults.find((fault): fault is Extract<Fault, { kind: K }> => fault.kind === kind);
}

function matches(match: FaultMatch, { part, method, route }: FaultedRequest): boolean {
  const digest = route.kind === 'manifest' ? route.reference : 'digest' in route ? route.digest : undefined;
  const repository = 'repository' in route ? route.repository : undefined;
  return (
    (match.part ?? part) === part &&
    (match.method ?? method) === method &&
    (match.route ?? route.kind) === route.kind &&
    (match.repository ?? repository) === repository &&
    (match.digest ?? digest) === digest
  );
}
