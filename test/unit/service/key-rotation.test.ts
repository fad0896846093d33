import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';

import { clusterDispatcher } from '#service/http-client.ts';
import { type BoundServer, createHttpServer, listen } from '#service/http-server.ts';
import { clientTls, type Security } from '#service/identity.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import { withKeys } from '../../support/with-keys.ts';
import { IdentityFiles } from './identity-files.ts';

const [OLD, NEW] = [randomBytes(32), randomBytes(32)];

let server: BoundServer | undefined;
afterEach(() => server?.[Symbol.asyncDispose]());

async function serve(security: Security): Promise<string> {
  const logger = createLogger('test', { level: 'silent' });
  const metrics = createMetrics('test', { process: false });
  const app = createHttpServer({ name: 'test', security, bodyLimit: 1024, logger, metrics });
  app.get('/', () => 'hello');
  server = await listen(app, '127.0.0.1:0');
  return `https://${server.address}`;
}

async function isServed(security: Security, origin: string): Promise<boolean> {
  const dispatcher = clusterDispatcher(security);
  try {
    const { statusCode } = await dispatcher.request({ origin, path: '/', method: 'GET' });
    return statusCode === 200;
  } catch {
    return false;
  } finally {
    await dispatcher.destroy();
  }
}

test('at each step of a rotation every member is served by every other', async () => {
  const steps = [[OLD], [OLD, NEW], [NEW, OLD], [NEW]];
  for (const [at, keys] of steps.entries()) {
    const origin = await serve(withKeys(...keys));
    // Others may be a step behind or ahead.
    for (const other of steps.slice(Math.max(0, at - 1), at + 2))
      expect({ keys, other, served: await isServed(withKeys(...other), origin) }).toMatchObject({
        served: true,
      });
    await server?.[Symbol.asyncDispose]();
  }
  const origin = await serve(withKeys(NEW));
  expect(await isServed(withKeys(OLD), origin)).toBe(false);
});

test('a server and a client take up keys that their file gets while they run', async () => {
  await using files = await IdentityFiles.create();
  const write = (...keys: Buffer[]): Promise<void> =>
    writeFile(files.path('cluster.key'), keys.map((key) => `${key.toString('base64')}\n`).join(''));
  await write(OLD);
  const security = files.clusterKey();
  const origin = await serve(security);
  expect(await isServed(withKeys(NEW), origin)).toBe(false);
  await write(OLD, NEW);
  await expect.poll(() => isServed(withKeys(NEW), origin)).toBe(true);
  expect(await isServed(withKeys(OLD), origin)).toBe(true);
  await write(NEW);
  await expect.poll(() => isServed(withKeys(OLD), origin)).toBe(false);
  expect(await isServed(security, origin)).toBe(true);
  await write(Buffer.from('too short'));
  await expect.poll(() => files.lines.join()).toContain('the last one stays');
  expect(await isServed(withKeys(NEW), origin)).toBe(true);
  for (const key of [OLD, NEW]) expect(files.lines.join()).not.toContain(key.toString('base64'));
});

/** A connection that is kept, as a thief would keep it. */
async function dial(security: Security, more: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port: server?.port, ...clientTls(security), ...more });
  socket.on('error', () => socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

async function firstLine(socket: TLSSocket): Promise<string> {
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  const [bytes]: unknown[] = await once(socket, 'data');
  return String(bytes).split('\r\n')[0]!;
}

test('a key that is taken out ends the connections it was proved with, and no other', async () => {
  let keys = [OLD, NEW];
  await serve({ mode: 'cluster-key', keys: () => keys });
  const [stolen, own] = [await dial(withKeys(OLD)), await dial(withKeys(NEW))];
  expect(await firstLine(stolen)).toBe('HTTP/1.1 200 OK');
  const ended = once(stolen, 'close');
  keys = [NEW];
  await ended;
  expect(await firstLine(own)).toBe('HTTP/1.1 200 OK');
  own.destroy();
});

test('a key that is taken out opens nothing by a session that is resumed', async () => {
  let keys = [OLD];
  await serve({ mode: 'cluster-key', keys: () => keys });
  const first = await dial(withKeys(OLD));
  expect(await firstLine(first)).toBe('HTTP/1.1 200 OK');
  const session = first.getSession()!;
  first.destroy();
  keys = [NEW];
  await expect(dial(withKeys(OLD), { session })).rejects.toThrow(/mac|decrypt/iu);
});

test('a client ends connections to a server with a key that is taken out', async () => {
  let keys = [OLD];
  const origin = await serve(withKeys(OLD, NEW));
  const dispatcher = clusterDispatcher({ mode: 'cluster-key', keys: () => keys });
  try {
    const ask = { origin, path: '/', method: 'GET' } as const;
    await (await dispatcher.request(ask)).body.dump();
    const ended = once(dispatcher, 'disconnect');
    keys = [NEW];
    await ended;
    expect((await dispatcher.request(ask)).statusCode).toBe(200);
  } finally {
    await dispatcher.destroy();
  }
});

test('a minute after the new key was put first no request runs on a connection that proves the old one', async () => {
  const keys = { server: [OLD, NEW], client: [OLD, NEW] };
  const origin = await serve({ mode: 'cluster-key', keys: () => keys.server });
  const dispatcher = clusterDispatcher({ mode: 'cluster-key', keys: () => keys.client });
  onTestFinished(() => dispatcher.destroy());
  const ask = async (): Promise<number> => {
    const { statusCode, body } = await dispatcher.request({ origin, path: '/', method: 'GET' });
    await body.dump();
    return statusCode;
  };
  expect(await ask()).toBe(200);
  keys.client = [NEW, OLD];
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 61_000 });
  onTestFinished(() => void vi.useRealTimers());
  const retired = once(dispatcher, 'disconnect');
  expect(await ask()).toBe(200);
  await retired;
  const cut = vi.fn<() => void>();
  dispatcher.on('disconnect', cut);
  keys.server = [NEW];
  await expect(dial(withKeys(OLD))).rejects.toThrow(/mac|decrypt/iu);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(cut).not.toHaveBeenCalled();
  expect(await ask()).toBe(200);
});
