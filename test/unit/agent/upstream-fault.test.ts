import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { deterministicBytes, sha256Hex } from '../../support/bytes.ts';
import { type AgentFixture, startAgentFixture } from './agent-fixture.ts';

const DIGEST = `sha256:${sha256Hex(deterministicBytes('fault', 10))}`;

const servers: Server[] = [];
const sockets = new Set<Socket>();
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

/** Listens on loopback. @returns host:port */
async function listen(server: Server): Promise<string> {
  servers.push(server);
  server.on('connection', (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('not listening on TCP');
  return `127.0.0.1:${bound.port}`;
}

async function closedPort(): Promise<string> {
  const server = createServer();
  const host = await listen(server);
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return host;
}

async function ask(
  agent: AgentFixture,
  host: string,
  path: string,
): Promise<{ status: number; text: string }> {
  const answer = await fetch(`http://${agent.agent.address}/v2/team/app/${path}?ns=${host}`);
  return { status: answer.status, text: await answer.text() };
}

const startAgentFor = (...hosts: string[]): Promise<AgentFixture> =>
  startAgentFixture({ registries: hosts.map((host) => ({ host })) });

describe.each(['manifests/1', `blobs/${DIGEST}`, 'tags/list'])(
  'a runtime that asks for %s is told',
  (path) => {
    test('that nobody listens at the registry', async () => {
      const host = await closedPort();
      await using agent = await startAgentFor(host);
      const { status, text } = await ask(agent, host, path);
      expect(status).toBe(503);
      expect(text).toContain(`neither ${host} nor the cluster can serve this now`);
      expect(text).toContain('the connection was refused (ECONNREFUSED)');
    });

    test('that the registry speaks plain HTTP, and which knob allows it', async () => {
      const host = await listen(createHttpServer((_request, response) => response.end('{}')));
      await using agent = await startAgentFor();
      const { status, text } = await ask(agent, host, path);
      expect(status).toBe(503);
      expect(text).toContain(`set upstreams.hosts.${host}.plainHttp`);
    });

    test('that what answers is no HTTP', async () => {
      const host = await listen(createServer((socket) => socket.end('SSH-2.0-OpenSSH_9.6\r\n')));
      await using agent = await startAgentFor(host);
      const { status, text } = await ask(agent, host, path);
      expect(status).toBe(503);
      expect(text).toMatch(/its answer is not HTTP \(H\w+\)/u);
    });

    test('the status of a registry that is out of order', async () => {
      const host = await listen(
        createHttpServer((_request, response) => response.writeHead(500).end('secret')),
      );
      await using agent = await startAgentFor(host);
      const { status, text } = await ask(agent, host, path);
      expect(status).toBe(503);
      expect(text).toContain(`${host} answered 500`);
      expect(text).not.toContain('secret');
    });

    test('of a redirect to plain HTTP, without what may be secret in its address', async () => {
      const location = 'http://user:hidden@storage.invalid/key?signature=hidden';
      const host = await listen(
        createHttpServer((_request, response) => response.writeHead(307, { location }).end()),
      );
      await using agent = await startAgentFor(host);
      const { status, text } = await ask(agent, host, path);
      expect(status).toBe(503);
      expect(text).toContain('upstreams.hosts.storage.invalid.plainHttp');
      expect(text).not.toContain('hidden');
    });
  },
);

test.each([
  [`blobs/${DIGEST}`, 'BLOB_UNKNOWN'],
  ['manifests/1', 'MANIFEST_UNKNOWN'],
  ['tags/list', 'NAME_UNKNOWN'],
])('of %s that a registry does not have, saying no more, the runtime is told %s', async (path, code) => {
  const host = await listen(createHttpServer((_request, response) => response.writeHead(404).end()));
  await using agent = await startAgentFor(host);
  const { status, text } = await ask(agent, host, path);
  expect(status).toBe(404);
  expect(text).toContain(`"${code}"`);
});
