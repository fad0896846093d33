import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { expect, test } from 'vitest';

import { clusterDispatcher } from '#service/http-client.ts';
import { createHttpServer, listen } from '#service/http-server.ts';
import { clientTls, serverTls, wireIdentity } from '#service/identity.ts';
import type { Security } from '#service/identity.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import { withKeys } from '../../support/with-keys.ts';

function clusterKey(): Security {
  return withKeys(randomBytes(32));
}

async function startSecret(security: Security) {
  const logger = createLogger('test', { level: 'silent' });
  let asked = 0;
  const app = createHttpServer({
    name: 'test',
    security,
    bodyLimit: 1024,
    logger,
    metrics: createMetrics('test'),
  });
  app.get('/secret', () => {
    asked += 1;
    return 'for members only';
  });
  return { server: await listen(app, '127.0.0.1:0'), asked: () => asked };
}

function openClient(security: Security) {
  const agent = clusterDispatcher(security);
  return {
    getSecret: (origin: string) => agent.request({ origin, path: '/secret', method: 'GET' }),
    [Symbol.asyncDispose]: () => agent.destroy(),
  };
}

test('a member reads what another member serves', async () => {
  const security = clusterKey();
  const { server } = await startSecret(security);
  await using _server = server;
  await using client = openClient(security);
  const answer = await client.getSecret(`https://${server.address}`);
  expect(await answer.body.text()).toBe('for members only');
});

test.each([
  ['another key', clusterKey(), 'https'],
  ['no key', { mode: 'off' } as const, 'https'],
  ['no TLS', { mode: 'off' } as const, 'http'],
])('who comes with %s gets nothing', async (_what, other, scheme) => {
  const { server, asked } = await startSecret(clusterKey());
  await using _server = server;
  await using client = openClient(other);
  await expect(client.getSecret(`${scheme}://${server.address}`)).rejects.toThrow(
    /other side closed|handshake failure|bad record mac|decrypt/,
  );
  expect(asked()).toBe(0);
});

test('who speaks plain HTTP to a member is sent no byte', async () => {
  const { server } = await startSecret(clusterKey());
  await using _server = server;
  const socket = connectPlain(server.port, '127.0.0.1');
  const received: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => received.push(chunk)).on('error', () => {});
  socket.write('GET /secret HTTP/1.1\r\nHost: x\r\n\r\n');
  await new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
  });
  // At most a TLS alert, never HTTP.
  expect(Buffer.concat(received).toString('latin1')).not.toContain('HTTP');
});

test('a member takes no answer from a server that has another key', async () => {
  const { server } = await startSecret(clusterKey());
  await using _server = server;
  await using client = openClient(clusterKey());
  await expect(client.getSecret(`https://${server.address}`)).rejects.toThrow(
    /other side closed|handshake failure|bad record mac|decrypt/,
  );
});

test('the handshake has forward secrecy and shows no certificate', async () => {
  const security = clusterKey();
  const { server } = await startSecret(security);
  await using _server = server;
  const socket = connectTls({ host: '127.0.0.1', port: server.port, ...clientTls(security) });
  await once(socket, 'secureConnect');
  expect(socket.getCipher().name).toMatch(/^ECDHE-PSK-/);
  expect(socket.getPeerCertificate()).toEqual({});
  socket.destroy();
});

/** What the client would prove. */
function presharedKey(security: Security): Uint8Array {
  const tls = clientTls(security);
  const answer = tls !== undefined && 'pskCallback' in tls ? tls.pskCallback?.(null) : undefined;
  return answer?.psk instanceof Uint8Array ? answer.psk : Buffer.alloc(0);
}

test('the wire and TLS never use the cluster key itself nor the same key', () => {
  const key = randomBytes(32);
  const security = withKeys(key);
  const [wire] = wireIdentity(security).membershipKeys?.() ?? [];
  const psk = presharedKey(security);
  expect(wire).toHaveLength(32);
  expect(psk).toHaveLength(32);
  expect(wire?.equals(psk)).toBe(false);
  expect(wire?.equals(key)).toBe(false);
  expect(key.equals(psk)).toBe(false);
});

test('with security off there is neither TLS nor a membership key', () => {
  const security = { mode: 'off' } as const;
  expect([serverTls(security), clientTls(security), wireIdentity(security)]).toEqual([
    undefined,
    undefined,
    {},
  ]);
});
