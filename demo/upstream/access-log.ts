/** Which listener a request reached. */
export type UpstreamPart = 'registry' | 'realm' | 'store';
export type AuthorizationKind = 'none' | 'basic' | 'bearer' | 'other';

/** One request; it stands in the log from its arrival on and is completed as it goes. */
export interface AccessEntry {
  readonly part: UpstreamPart;
  readonly method: string;
  readonly path: string;
  /** With its question mark; empty without one. */
  readonly query: string;
  readonly range: string | undefined;
  readonly userAgent: string | undefined;
  readonly authorization: AuthorizationKind;
  /** Whose credentials these were, once they were found right. */
  user: string | undefined;
  /** Of the content that was served, not of what was asked for. */
  digest: string | undefined;
  /** 0 until headers were sent. */
  status: number;
  /** Body bytes that were handed to the network; what the connection lost does not count. */
  bodyBytes: number;
  /** Whether the response is over, well or not. */
  done: boolean;
  /** Whether the connection ended before the response did. */
  cut: boolean;
}

const MAX_ENTRIES = 20_000;

/** What was asked and what was sent. Entries are bounded (the newest stay); totals are not forgotten. */
export class AccessLog {
  readonly entries: AccessEntry[] = [];
  readonly #bytesByDigest = new Map<string, number>();
  readonly #requests = { GET: 0, HEAD: 0, other: 0 };
  #bodyBytes = 0;

  open(
    entry: Pick<AccessEntry, 'part' | 'method' | 'path' | 'query' | 'range' | 'userAgent' | 'authorization'>,
  ): AccessEntry {
    const added = {
      ...entry,
      user: undefined,
      digest: undefined,
      status: 0,
      bodyBytes: 0,
      done: false,
      cut: false,
    };
    this.entries.push(added);
    if (this.entries.length > MAX_ENTRIES) this.entries.shift();
    this.#requests[entry.method === 'GET' || entry.method === 'HEAD' ? entry.method : 'other']++;
    return added;
  }

  sent(entry: AccessEntry, bytes: number): void {
    entry.bodyBytes += bytes;
    this.#bodyBytes += bytes;
    if (entry.digest === undefined) return;
    this.#bytesByDigest.set(entry.digest, (this.#bytesByDigest.get(entry.digest) ?? 0) + bytes);
  }

  /** Body bytes of blobs and manifests that left, by digest, over all listeners. */
  bodyBytesByDigest(): ReadonlyMap<string, number> {
    return this.#bytesByDigest;
  }

  /** All body bytes, error texts and tokens included. */
  get bodyBytes(): number {
    return this.#bodyBytes;
  }

  get heads(): number {
    return this.#requests.HEAD;
  }

  get gets(): number {
    return this.#requests.GET;
  }

  /** Requests that still run. */
  get running(): AccessEntry[] {
    return this.entries.filter((entry) => !entry.done);
  }

  clear(): void {
    this.entries.length = 0;
    this.#bytesByDigest.clear();
    this.#requests.GET = this.#requests.HEAD = this.#requests.other = 0;
    this.#bodyBytes = 0;
  }
}
