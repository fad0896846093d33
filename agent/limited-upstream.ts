import type { DownloadLimit } from './pull/swarm.ts';
import type {
  GetAnswer,
  HeadAnswer,
  ListAnswer,
  ListRequest,
  Upstream,
  UpstreamRequest,
} from './upstream.ts';

/** The registry, whose bodies come in as fast as the limit of all downloads lets them: what waits stays with who sends it. */
export class LimitedUpstream implements Upstream {
  readonly #upstream: Upstream;
  readonly #limit: Pick<DownloadLimit, 'passDownload'>;

  constructor(upstream: Upstream, limit: Pick<DownloadLimit, 'passDownload'>) {
    this.#upstream = upstream;
    this.#limit = limit;
  }

  head(request: UpstreamRequest, signal: AbortSignal): Promise<HeadAnswer> {
    return this.#upstream.head(request, signal);
  }

  list(request: ListRequest, signal: AbortSignal): Promise<ListAnswer> {
    return this.#upstream.list(request, signal);
  }

  async get(request: UpstreamRequest, signal: AbortSignal): Promise<GetAnswer> {
    const answer = await this.#upstream.get(request, signal);
    if (answer.kind !== 'ok') return answer;
    const pass = (bytes: number): Promise<void> => this.#limit.passDownload(flowOf(request), bytes, signal);
    return { ...answer, body: paced(answer.body, pass) };
  }
}

/** Not a generator: leaving one before its first chunk would not tell the body. */
function paced(
  body: AsyncIterable<Uint8Array>,
  pass: (bytes: number) => Promise<void>,
): AsyncIterable<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]();
  return {
    [Symbol.asyncIterator]: () => ({
      async next() {
        const chunk = await chunks.next();
        if (chunk.done !== true) await pass(chunk.value.length);
        return chunk;
      },
      async return() {
        await chunks.return?.();
        return { done: true, value: undefined };
      },
    }),
  };
}

/** A blob is one flow, whichever way its bytes come. */
export function flowOf({ resource }: Pick<UpstreamRequest, 'resource'>): string {
  return resource.kind === 'blob' ? resource.digest : resource.reference;
}
