import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { Agent, buildConnector } from 'undici';

import { WARM_PATH } from '#service/warm-messages.ts';
import type { WarmAnswer, WarmRequest } from '#service/warm-messages.ts';

/** What an agent says to a preheat's question. */
export type Behaviour = (request: WarmRequest, asked: number) => WarmAnswer;

const DIGEST = `sha256:${'a'.repeat(64)}`;
export const WARM: WarmAnswer = { state: 'warm', digest: DIGEST };
export const FETCHING: WarmAnswer = { state: 'fetching', digest: DIGEST };
export const FAILED: WarmAnswer = { state: 'failed', reason: 'the registry says: denied' };

/** Fetches for the first so many questions about an image, then holds it. */
export function warmAfter(questions: number): Behaviour {
  return (_request, asked) => (asked > questions ? WARM : FETCHING);
}

/**
 * Agents that answer preheats and do nothing else, each at an address of its own: the API server takes none on loopback
 * for an endpoint, so `dispatcher` leads what is meant for one of them to loopback.
 */
export class Agents implements AsyncDisposable {
  readonly requests: (WarmRequest & { readonly address: string })[] = [];
  /** How many were asked within the last half second, at most. */
  mostAtOnce = 0;
  readonly dispatcher: Agent;
  readonly #servers = new Map<string, Server>();
  readonly #behaviours = new Map<string, Behaviour>();
  readonly #busy = new Map<string, number>();

  constructor() {
    const connector = buildConnector({});
    this.dispatcher = new Agent({
      connect: (options, callback) => {
        const bound = this.#servers.get(options.hostname)?.address();
        const port = typeof bound === 'object' && bound !== null ? String(bound.port) : '1';
        connector({ ...options, hostname: '127.0.0.1', host: `127.0.0.1:${port}`, port }, callback);
      },
    });
  }

  async start(address: string, behaviour: Behaviour): Promise<void> {
    this.#behaviours.set(address, behaviour);
    const asked = new Map<string, number>();
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const body: WarmRequest = JSON.parse(Buffer.concat(chunks).toString('utf8'));
        this.#note(address, body);
        const name = body.image.split('@')[0]!;
        asked.set(name, (asked.get(name) ?? 0) + 1);
        const answer = this.#behaviours.get(address)!(body, asked.get(name)!);
        response.writeHead(request.url === WARM_PATH ? 200 : 404).end(JSON.stringify(answer));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.#servers.set(address, server);
  }

  behave(address: string, behaviour: Behaviour): void {
    this.#behaviours.set(address, behaviour);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispatcher.destroy();
    for (const server of this.#servers.values()) {
      server.closeAllConnections();
      server.close();
    }
  }

  #note(address: string, request: WarmRequest): void {
    this.requests.push({ ...request, address });
    const now = performance.now();
    this.#busy.set(address, now);
    const busy = [...this.#busy.values()].filter((at) => now - at < 500).length;
    this.mostAtOnce = Math.max(this.mostAtOnce, busy);
  }
}
