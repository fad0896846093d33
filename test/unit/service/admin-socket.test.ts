import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { expect, test } from 'vitest';

import { OciError } from '#registry/oci-error.ts';
import { ADMIN_SOCKET, askAdmin } from '#service/admin-client.ts';
import { startAdminSocket } from '#service/admin-socket.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';

import { temporaryDirectory } from '../../support/temporary-directory.ts';

function start(directory: string) {
  return startAdminSocket({
    directory,
    logger: createLogger('test', { level: 'silent' }),
    metrics: createMetrics('test', { process: false }),
    routes: (app) => {
      app.post('/v1/echo', (request) => ({ got: request.body }));
      app.get('/v1/refuse', () => Promise.reject(new OciError('DENIED', 'not while a pull is running')));
      app.get('/v1/nothing', (_request, reply) => reply.code(204).send());
    },
  });
}

const soon = (): AbortSignal => AbortSignal.timeout(5000);

test('a command reaches the part, and its answer comes back', async () => {
  await using dir = await temporaryDirectory();
  await using admin = await start(dir.path);
  expect(await askAdmin(admin.path, { method: 'POST', path: '/v1/echo', body: { a: 1 } }, soon())).toEqual({
    got: { a: 1 },
  });
  expect(await askAdmin(admin.path, { method: 'GET', path: '/v1/nothing' }, soon())).toBeUndefined();
});

test('only the owner may open the socket', async () => {
  await using dir = await temporaryDirectory();
  await using admin = await start(dir.path);
  expect((await stat(admin.path)).mode & 0o777).toBe(0o600);
  expect(await readdir(dir.path)).toEqual([ADMIN_SOCKET]);
});

test("a refusal is told in the part's words", async () => {
  await using dir = await temporaryDirectory();
  await using admin = await start(dir.path);
  await expect(askAdmin(admin.path, { method: 'GET', path: '/v1/refuse' }, soon())).rejects.toThrow(
    'not while a pull is running',
  );
});

test('the socket goes with the part, and a left-over one is no obstacle', async () => {
  await using dir = await temporaryDirectory();
  await (await start(dir.path))[Symbol.asyncDispose]();
  expect(await readdir(dir.path)).toEqual([]);
  await expect(askAdmin(dir.join(ADMIN_SOCKET), { method: 'GET', path: '/' }, soon())).rejects.toThrow(
    /nothing answers at .* is the agent running/,
  );
  await writeFile(dir.join(ADMIN_SOCKET), 'left by a kill -9');
  await using admin = await start(dir.path);
  expect(await askAdmin(admin.path, { method: 'POST', path: '/v1/echo', body: 1 }, soon())).toEqual({
    got: 1,
  });
});

test('a second part with the same data directory does not start', async () => {
  await using dir = await temporaryDirectory();
  await using _admin = await start(dir.path);
  await expect(start(dir.path)).rejects.toThrow('two parts cannot share a data directory');
});

test('a data directory whose path is too long for a socket is refused clearly', async () => {
  await using dir = await temporaryDirectory();
  const deep = dir.join('x'.repeat(100));
  await mkdir(deep);
  await expect(start(deep)).rejects.toThrow('longer than 107 bytes');
});

test('an answer that is endless or not JSON is an error', async () => {
  await using dir = await temporaryDirectory();
  const server = createServer((request, response) => {
    response.end(request.url === '/long' ? Buffer.alloc(5 * 1024 * 1024) : '<html>');
  });
  await new Promise<void>((resolve) => {
    server.listen(dir.join('s'), resolve);
  });
  await expect(askAdmin(dir.join('s'), { method: 'GET', path: '/long' }, soon())).rejects.toThrow(
    'longer than',
  );
  await expect(askAdmin(dir.join('s'), { method: 'GET', path: '/html' }, soon())).rejects.toThrow('not JSON');
  server.close();
});
