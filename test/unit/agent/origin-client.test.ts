import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import * as fc from 'fast-check';
import { Agent } from 'undici';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fixedMembers } from '#service/discovery/member-list.ts';
import { portOf } from './origin-stand-in.ts';
import { OriginClient } from '#agent/origin-client.ts';
import type { UpstreamRequest } from '#agent/upstream.ts';
import { parseDigest } from '#registry/digest.ts';
import { owners } from '#swarm/core/ring.ts';

const DIGEST = parseDigest(`sha256:${'d'.repeat(64)}`);
const CALLER = { registry: 'r.io:5000', repository: 'team/app', authorization: 'Bearer secret' };
const BLOB: UpstreamRequest = { caller: CALLER, resource: { kind: 'blob', digest: DIGEST } };
const SWARM_TYPE = 'application/vnd.shoal.swarm.v1+json';
const DESCRIPTOR = {
  digest: DIGEST,
  size: 1_000_000,
  scope: 'verified',
  peer: { host: '10.0.0.1', port: 29_522 },
};

/** Origins that tests script, each on a socket of its own. */
class Ring implements AsyncDisposable {
  readonly passed: [flow: string, bytes: number][] = [];
  readonly limit = {
    passDownload: async (flow: string, bytes: number) => void this.passed.push([flow, bytes]),
  };
  readonly servers = new Map<string, Server>();
  readonly asked: { origin: string; url: string; headers: IncomingMessage['headers'] }[] = [];
  readonly failures: string[] = [];
  readonly dispatcher = new Agent();
  now = 0;

  async add(answer: (response: ServerResponse, request: IncomingMessage) => void): Promise<string> {
    let origin = '';
    const listener: RequestListener = (request, response) => {
      this.asked.push({ origin, url: request.url ?? '', headers: request.headers });
      answer(response, request);
    };
    const server = createServer(listener).listen(0, '127.0.0.1');
    await once(server, 'listening');
    origin = `127.0.0.1:${portOf(server)}`;
    this.servers.set(origin, server);
    return origin;
  }

  client(origins: readonly string[] = [...this.servers.keys()]): OriginClient {
    return new OriginClient(
      {
        dispatcher: this.dispatcher,
        limit: this.limit,
        now: () => this.now,
        random: () => 0.5,
        onFailure: (origin) => this.failures.push(origin),
      },
      { origins: fixedMembers(origins), scheme: 'http' },
    );
  }

  async kill(origin: string): Promise<void> {
    const server = this.servers.get(origin)!;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispatcher.destroy();
    for (const server of this.servers.values()) {
      server.closeAllConnections();
      server.close();
    }
  }
}

function json(value: unknown, status = 200, headers: Record<string, string> = {}) {
  return (response: ServerResponse): void => {
    response.writeHead(status, { 'content-type': SWARM_TYPE, ...headers }).end(JSON.stringify(value));
  };
}

let ring: Ring;
const signal = AbortSignal.timeout(60_000);

beforeEach(() => {
  ring = new Ring();
});
afterEach(async () => {
  await ring[Symbol.asyncDispose]();
});

describe('what an origin answers', () => {
  test('a large blob is a swarm to join; the caller’s credential goes along, by a name of its own', async () => {
    await ring.add(json(DESCRIPTOR, 200, { 'shoal-verdict': 'positive' }));
    expect(await ring.client().fetch(BLOB, signal)).toEqual({
      kind: 'swarm',
      size: 1_000_000,
      scope: 'verified',
      peer: DESCRIPTOR.peer,
      hasGaps: false,
      positive: true,
    });
    const { url, headers } = ring.asked[0]!;
    expect(url).toBe(`/v2/team/app/blobs/${DIGEST}?ns=r.io%3A5000`);
    expect(headers['shoal-authorization']).toBe('Bearer secret');
    expect(headers.authorization).toBeUndefined();
  });

  test('small content is bytes', async () => {
    await ring.add((response) => response.writeHead(200, { 'content-type': 'text/x' }).end('content'));
    expect(await ring.client().fetch(BLOB, signal)).toEqual({
      kind: 'content',
      bytes: Buffer.from('content'),
      mediaType: 'text/x',
      positive: false,
    });
    expect(ring.passed).toEqual([[DIGEST, 7]]);
  });

  test('a refusal of upstream’s comes with its challenges and body', async () => {
    await ring.add((response) => {
      response.writeHead(401, {
        'shoal-upstream': 'refused',
        'www-authenticate': ['Bearer realm="a"', 'Basic'],
      });
      response.end('{"errors":[]}');
    });
    expect(await ring.client().fetch(BLOB, signal)).toEqual({
      kind: 'refused',
      refusal: { status: 401, challenges: ['Bearer realm="a"', 'Basic'], body: '{"errors":[]}' },
    });
  });

  test('upstream down is told apart from an origin down', async () => {
    await ring.add((response) => response.writeHead(503, { 'shoal-upstream': 'unreachable' }).end('{}'));
    expect(await ring.client().fetch(BLOB, signal)).toEqual({ kind: 'unreachable' });
    expect(ring.failures).toEqual([]);
  });

  test.each<[string, unknown]>([
    ['no JSON', undefined],
    ['another digest', { ...DESCRIPTOR, digest: `sha256:${'e'.repeat(64)}` }],
    ['a size beyond all bounds', { ...DESCRIPTOR, size: 2 ** 52 }],
    ['a negative size', { ...DESCRIPTOR, size: -1 }],
    ['a port that is none', { ...DESCRIPTOR, peer: { host: 'h', port: 70_000 } }],
    ['no peer', { ...DESCRIPTOR, peer: undefined }],
    ['an endless scope', { ...DESCRIPTOR, scope: 'x'.repeat(300) }],
  ])('a descriptor with %s counts as no answer', async (_what, descriptor) => {
    await ring.add(json(descriptor));
    expect(await ring.client().fetch(BLOB, signal)).toEqual({ kind: 'absent' });
    expect(ring.failures).toHaveLength(1);
  });

  test('an endless answer is not read to its end', async () => {
    let sent = 0;
    await ring.add((response) => {
      response.writeHead(200, { 'content-type': 'text/x' });
      const chunk = Buffer.alloc(64 * 1024);
      const pump = (): void => {
        while (!response.destroyed && response.write(chunk)) sent += chunk.length;
        if (!response.destroyed) response.once('drain', pump);
      };
      pump();
    });
    expect(await ring.client().fetch(BLOB, signal)).toEqual({ kind: 'absent' });
    expect(sent).toBeLessThan(64 * 1024 * 1024);
  });

  test('whatever JSON comes as a descriptor, it is a swarm or nothing', async () => {
    let value: unknown;
    await ring.add((response) => json(value)(response));
    const member = fc.oneof(fc.jsonValue(), fc.constantFrom(DIGEST, 5, 'verified', { host: 'h', port: 1 }));
    const descriptor = fc.record({ digest: member, size: member, scope: member, peer: member });
    await fc.assert(
      fc.asyncProperty(fc.oneof(descriptor, fc.jsonValue()), async (sent) => {
        value = sent;
        const { kind } = await ring.client().fetch(BLOB, signal);
        expect(['swarm', 'absent']).toContain(kind);
      }),
      { numRuns: 60 },
    );
  });
});

describe('the ring', () => {
  const answer = json(DESCRIPTOR);

  test('asks the owner of the digest first, and the next when it is dead, without asking the dead one again', async () => {
    for (let n = 0; n < 3; n += 1) await ring.add(answer);
    const order = owners(DIGEST, [...ring.servers.keys()]);
    const client = ring.client();
    await client.fetch(BLOB, signal);
    await ring.kill(order[0]!);
    expect(await client.fetch(BLOB, signal)).toMatchObject({ kind: 'swarm' });
    await client.fetch(BLOB, signal);
    expect(ring.asked.map(({ origin }) => origin)).toEqual([order[0], order[1], order[1]]);
    expect(ring.failures).toEqual([order[0]]);
  });

  const unreachable = json({}, 503, { 'shoal-upstream': 'unreachable' });

  test('while upstream is gone, what the owner has not heard of may be known to the one that stood in for it', async () => {
    for (let n = 0; n < 3; n += 1) await ring.add(() => {});
    const order = owners(DIGEST, [...ring.servers.keys()]);
    const script = (index: number, say: (response: ServerResponse) => void): void =>
      void ring.servers.get(order[index]!)!.on('request', (_request, response) => say(response));
    script(0, unreachable);
    script(1, answer);
    expect(await ring.client().fetch(BLOB, signal)).toMatchObject({ kind: 'swarm' });
    expect(ring.asked.map(({ origin }) => origin)).toEqual(order.slice(0, 2));
    expect(ring.failures).toEqual([]);
  });

  test('no more than two are asked about what upstream would have to be asked for, and the owner’s word stands', async () => {
    for (let n = 0; n < 3; n += 1) await ring.add(unreachable);
    const order = owners(DIGEST, [...ring.servers.keys()]);
    expect(await ring.client().fetch(BLOB, signal)).toEqual({ kind: 'unreachable' });
    expect(ring.asked.map(({ origin }) => origin)).toEqual(order.slice(0, 2));
    await ring.kill(order[1]!);
    await ring.kill(order[2]!);
    expect(await ring.client().fetch(BLOB, signal)).toEqual({ kind: 'unreachable' });
    expect(ring.failures).toEqual(order.slice(1));
  });

  test('tries an origin that failed again when its time is up, later each time', async () => {
    let fails = true;
    const origin = await ring.add((response) => {
      if (fails) response.writeHead(500).end();
      else answer(response);
    });
    const client = ring.client([origin]);
    const askAt = async (now: number): Promise<string> => {
      ring.now = now;
      return (await client.fetch(BLOB, signal)).kind;
    };
    expect(await askAt(0)).toBe('absent');
    expect(client.isReachable).toBe(false);
    expect(await askAt(300)).toBe('absent');
    expect(ring.asked).toHaveLength(1);
    expect(await askAt(400)).toBe('absent');
    expect(ring.asked).toHaveLength(2);
    expect(await askAt(800)).toBe('absent');
    expect(ring.asked).toHaveLength(2);
    fails = false;
    expect(await askAt(1_200)).toBe('swarm');
    expect(client.isReachable).toBe(true);
  });

  test('with no origin configured, or all dead, the answer is that there is none', async () => {
    expect(await ring.client([]).fetch(BLOB, signal)).toEqual({ kind: 'absent' });
    const origin = await ring.add(answer);
    await ring.kill(origin);
    expect(await ring.client([origin]).fetch(BLOB, signal)).toEqual({ kind: 'absent' });
  });

  test('stops when the caller leaves, and holds that against nobody', async () => {
    await ring.add(() => {});
    const leaving = new AbortController();
    const asking = ring.client().fetch(BLOB, leaving.signal);
    setTimeout(() => leaving.abort(new Error('gone')), 50);
    await expect(asking).rejects.toThrow('gone');
    expect(ring.failures).toEqual([]);
  });

  test('a tag is asked for by its whole name', async () => {
    await ring.add((response) => response.writeHead(200, { 'content-type': 'text/x' }).end('{}'));
    const request: UpstreamRequest = {
      caller: { ...CALLER, authorization: undefined },
      resource: { kind: 'manifest', reference: 'v1' },
      accept: 'a/b',
    };
    await ring.client().fetch(request, signal);
    expect(ring.asked[0]?.url).toBe('/v2/team/app/manifests/v1?ns=r.io%3A5000');
    expect(ring.asked[0]?.headers).toMatchObject({ accept: 'a/b' });
    expect(ring.asked[0]?.headers).not.toHaveProperty('shoal-authorization');
  });
});

describe('whether a repository is anyone’s', () => {
  test('is what an origin says, asked once for a while', async () => {
    await ring.add((response) => response.writeHead(200).end('{"since": 1700000000}'));
    const client = ring.client();
    expect(await client.anonymous('r.io', 'a/b', signal)).toBe(1_700_000_000_000);
    await client.anonymous('r.io', 'a/b', signal);
    expect(ring.asked.map(({ url }) => url)).toEqual(['/v1/anonymous?registry=r.io&repository=a%2Fb']);
  });

  test('is unknown where the origin does not know, or answers nonsense', async () => {
    let body = '';
    let status = 404;
    await ring.add((response) => response.writeHead(status).end(body));
    expect(await ring.client().anonymous('r.io', 'a', signal)).toBeUndefined();
    status = 200;
    for (body of ['', '{}', '{"since":"x"}', '{"since":-5}', '[1]'])
      expect(await ring.client().anonymous('r.io', 'a', signal)).toBeUndefined();
  });

  test('is also told with any answer, and outlives the origins', async () => {
    const origin = await ring.add(json(DESCRIPTOR, 200, { 'shoal-anonymous': '1700000000' }));
    const client = ring.client();
    await client.fetch(BLOB, signal);
    await ring.kill(origin);
    ring.now = 60_000;
    expect(await client.anonymous(CALLER.registry, CALLER.repository, signal)).toBe(1_700_000_000_000);
  });
});
