import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Type } from 'typebox';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { unauthorized } from '#registry/oci-error.ts';
import { clusterDispatcher, clusterScheme } from '#service/http-client.ts';
import { createHttpServer, listen } from '#service/http-server.ts';
import type { BoundServer } from '#service/http-server.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import type { Metrics } from '#service/metrics.ts';
import { withKeys } from '../../support/with-keys.ts';

/** For a machine that is busy with other tests. */
const PATIENT = { timeout: 10_000 };

class TeapotError extends Error {}

let lines: string[];
let metrics: Metrics;
let server: BoundServer;
let release: (() => void) | undefined;

beforeEach(async () => {
  lines = [];
  release = undefined;
  metrics = createMetrics('test', { process: false });
  const logger = createLogger('test', {
    level: 'debug',
    destination: { write: (line) => void lines.push(line) },
  });
  const app = createHttpServer({
    name: 'api',
    bodyLimit: 1000,
    logger,
    metrics,
    closeGraceMs: 300,
    errors: (error) => (error instanceof TeapotError ? { status: 418, body: { short: true } } : undefined),
  });
  app.get('/items/:id', (request) => ({ params: request.params }));
  app.get('/known', () => Promise.reject(unauthorized(['Bearer realm="a"', 'Basic realm="b"'])));
  app.get('/unknown', () => Promise.reject(new Error('database password is hunter2')));
  app.get('/own', () => Promise.reject(new TeapotError()));
  app.get('/cut-short', async (_request, reply) => {
    release = () => {};
    await once(reply.raw, 'close');
    throw new Error('the work for the client was cut short');
  });
  app.get('/slow', async () => {
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    return 'late';
  });
  app.post(
    '/count',
    { schema: { body: Type.Object({ count: Type.Integer({ minimum: 1 }) }) } },
    (request) => request.body,
  );
  server = await listen(app, '127.0.0.1:0');
});

afterEach(() => server[Symbol.asyncDispose]());

const url = (path: string): string => `http://${server.address}${path}`;

function post(body: string): Promise<Response> {
  return fetch(url('/count'), { method: 'POST', body, headers: { 'content-type': 'application/json' } });
}

test('a request is answered, logged once and counted under its route, not its path', async () => {
  expect(await (await fetch(url('/items/17'))).json()).toEqual({ params: { id: '17' } });
  await expect.poll(() => lines.length, PATIENT).toBe(1);
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    route: '/items/:id',
    method: 'GET',
    status: '200',
    level: 'debug',
  });
  const { text } = await metrics.expose();
  expect(text).toContain(
    'shoal_test_http_requests_total{server="api",route="/items/:id",method="GET",status="200"} 1',
  );
  expect(text).not.toContain('17');
});

test('a public error has its status, headers and OCI body', async () => {
  const answer = await fetch(url('/known'));
  expect(answer.status).toBe(401);
  expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="a", Basic realm="b"');
  expect(await answer.json()).toMatchObject({ errors: [{ code: 'UNAUTHORIZED' }] });
});

test('of an unknown error nothing leaves the process, but the log has it', async () => {
  const answer = await fetch(url('/unknown'));
  expect(answer.status).toBe(500);
  expect(await answer.text()).toBe('{"errors":[{"code":"UNKNOWN","message":"internal error"}]}');
  expect(lines.join('')).toContain('hunter2');
});

test("a part's own error is answered as the part says", async () => {
  const answer = await fetch(url('/own'));
  expect([answer.status, await answer.json()]).toEqual([418, { short: true }]);
});

test('malformed, too large and unknown requests are refused clearly', async () => {
  expect(await (await post('{"count":3}')).json()).toEqual({ count: 3 });
  const wrong = await post('{"count":0}');
  expect([wrong.status, await wrong.text()]).toEqual([400, expect.stringContaining('/count must be >= 1')]);
  expect((await post('{"count":')).status).toBe(400);
  expect((await post(JSON.stringify({ count: 1, pad: 'x'.repeat(2000) }))).status).toBe(413);
  expect((await fetch(url('/%ff'))).status).toBe(400);
  const none = await fetch(url('/nothing/here'));
  expect([none.status, await none.json()]).toMatchObject([404, { errors: [{ code: 'UNSUPPORTED' }] }]);
});

/** Like `once`, but a reset is a close too. */
function untilClosed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
  });
}

async function sendRaw(text: string): Promise<string> {
  const socket = connect(server.port, '127.0.0.1');
  const received: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => received.push(chunk)).on('error', () => {});
  socket.write(text);
  await untilClosed(socket);
  return Buffer.concat(received).toString();
}

test('a client that goes away is counted as such, not as a success', async () => {
  const leaving = new AbortController();
  const asked = fetch(url('/slow'), { signal: leaving.signal }).catch(() => 'left');
  await expect.poll(() => release, PATIENT).toBeDefined();
  leaving.abort();
  expect(await asked).toBe('left');
  await expect
    .poll(async () => (await metrics.expose()).text, PATIENT)
    .toContain('route="/slow",method="GET",status="aborted"} 1');
  release?.();
});

test('a client that goes away is no failure of the server: no warning', async () => {
  const leaving = new AbortController();
  const asked = fetch(url('/cut-short'), { signal: leaving.signal }).catch(() => 'left');
  await expect.poll(() => release, PATIENT).toBeDefined();
  leaving.abort();
  expect(await asked).toBe('left');
  await expect.poll(() => lines.join(''), PATIENT).toContain('left before its answer');
  expect(lines.filter((line) => /"level":"(?:warn|error)"|"level":[45]0/u.test(line))).toEqual([]);
});

async function openSocket(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

test.each([
  ['in the clear', { mode: 'off' }],
  ['over TLS', withKeys(Buffer.alloc(32, 7))],
] as const)(
  '%s, neither idle keep-alive sockets nor silent ones delay the close',
  async (_how, security) => {
    const logger = createLogger('test', { level: 'silent' });
    // A grace that the test would not outlast.
    const app = createHttpServer({
      name: 'x',
      security,
      bodyLimit: 1,
      logger,
      metrics,
      closeGraceMs: 120_000,
    });
    app.get('/', () => 'hello');
    const patient = await listen(app, '127.0.0.1:0');
    const client = clusterDispatcher(security);
    const answer = await client.request({
      origin: `${clusterScheme(security)}://${patient.address}`,
      path: '/',
      method: 'GET',
    });
    expect(await answer.body.text()).toBe('hello');
    const [silent, half] = [await openSocket(patient.port), await openSocket(patient.port)];
    half.write('\u0016GET / HT');
    const gone = Promise.all([silent, half].map(untilClosed));
    await patient[Symbol.asyncDispose]();
    expect(await gone).toHaveLength(2);
    await client.destroy();
  },
  /* less than the handshake time-out, which would close the silent one */ 8000,
);

test('an answer under way at the close is still given', async () => {
  const asked = fetch(url('/slow'));
  await expect.poll(() => release, PATIENT).toBeDefined();
  const closed = server[Symbol.asyncDispose]();
  await sleep(20);
  release?.();
  expect(await (await asked).text()).toBe('late');
  await closed;
});

test('an answer that does not end within the grace is cut', async () => {
  const asked = fetch(url('/slow')).then(
    () => 'answered',
    () => 'cut',
  );
  await expect.poll(() => release, PATIENT).toBeDefined();
  await server[Symbol.asyncDispose]();
  expect(await asked).toBe('cut');
});

test('an address that cannot be had is named', async () => {
  const again = createHttpServer({
    name: 'x',
    bodyLimit: 1,
    logger: createLogger('x', { level: 'silent' }),
    metrics,
  });
  await expect(listen(again, server.address)).rejects.toThrow(`cannot listen at ${server.address}: `);
  await expect(listen(again, 'nonsense')).rejects.toThrow('host:port is expected');
});

test.each([
  [
    'a method that HTTP does not have',
    'FROB / HTTP/1.1\r\nhost: a\r\n\r\n',
    400,
    'the method is none of HTTP',
  ],
  ['a method of WebDAV', 'PROPFIND / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n', 501, 'PROPFIND'],
  ['headers without end', `GET / HTTP/1.1\r\na: ${'a'.repeat(40_000)}\r\n\r\n`, 431, 'too long'],
  ['no HTTP at all', '\u0013BitTorrent protocol\r\n\r\n', 400, 'the method is none of HTTP'],
  ['a version that is none', 'GET / HTTP/x\r\n\r\n', 400, 'not HTTP/1.1'],
])('%s is refused in the OCI error format', async (_what, request, status, message) => {
  const [head = '', body = ''] = (await sendRaw(request)).split('\r\n\r\n');
  expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `, 'u'));
  expect(head.toLowerCase()).toContain(`content-length: ${body.length}`);
  expect(JSON.parse(body)).toEqual({
    errors: [{ code: 'UNSUPPORTED', message: expect.stringContaining(message) }],
  });
});
