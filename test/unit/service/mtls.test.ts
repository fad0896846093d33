import { readFile, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { expect, onTestFinished, test, vi } from 'vitest';

import { clusterDispatcher } from '#service/http-client.ts';
import { createHttpServer, listen } from '#service/http-server.ts';
import { clientTls, type Security } from '#service/identity.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import { IdentityFiles, type Subject } from './identity-files.ts';

async function filesOf(subject: Subject, ca?: 'ca' | 'other-ca'): Promise<IdentityFiles> {
  const files = await IdentityFiles.create();
  onTestFinished(() => files[Symbol.asyncDispose]());
  await files.put(subject, ca);
  return files;
}

async function serve(security: Security) {
  const logger = createLogger('test', { level: 'silent' });
  const metrics = createMetrics('test', { process: false });
  const app = createHttpServer({ name: 'test', security, bodyLimit: 1024, logger, metrics });
  let asked = 0;
  app.get('/secret', () => {
    asked += 1;
    return 'for members only';
  });
  const server = await listen(app, '127.0.0.1:0');
  onTestFinished(() => server[Symbol.asyncDispose]());
  return { ...server, asked: () => asked };
}

async function ask(security: Security, address: string): Promise<string> {
  const dispatcher = clusterDispatcher(security);
  try {
    const { body } = await dispatcher.request({
      origin: `https://${address}`,
      path: '/secret',
      method: 'GET',
    });
    return await body.text();
  } finally {
    await dispatcher.destroy();
  }
}

/** The common name of what a server shows to a member. */
async function shownBy(port: number, security: Security): Promise<string> {
  const socket = connectTls({ host: '127.0.0.1', port, ...clientTls(security) });
  await once(socket, 'secureConnect');
  const { subject } = socket.getPeerCertificate();
  expect(socket.getProtocol()).toBe('TLSv1.3');
  socket.destroy();
  return String(subject.CN);
}

test('members read what members serve, by TLS 1.3', async () => {
  const server = await serve((await filesOf('member')).mtls());
  const other = (await filesOf('renewed')).mtls();
  expect(await ask(other, server.address)).toBe('for members only');
  expect(await shownBy(server.port, other)).toBe('member');
});

test.each([
  ['a certificate of another authority', 'impostor', 'ca'],
  ['a certificate of another authority that trusts its own', 'impostor', 'other-ca'],
] as const)('who comes with %s gets nothing', async (_what, subject, ca) => {
  const server = await serve((await filesOf('member')).mtls());
  const stranger = (await filesOf(subject, ca)).mtls();
  await expect(ask(stranger, server.address)).rejects.toThrow(/certificate|other side closed|ECONNRESET/u);
  expect(server.asked()).toBe(0);
});

test("who comes with the authority's certificate for another name gets nothing, nor is believed as a server", async () => {
  const member = (await filesOf('member')).mtls();
  const outsider = (await filesOf('outsider')).mtls('web.example');
  const server = await serve(member);
  // It believes the server, so that the server has to turn it away.
  if (outsider.mode !== 'mtls') throw new Error('no certificates');
  const believing: Security = {
    mode: 'mtls',
    certificates: {
      get current() {
        return { ...outsider.certificates.current, name: 'member.shoal.internal' };
      },
      onChange: () => () => {},
    },
  };
  await expect(ask(believing, server.address)).rejects.toThrow(
    /other side closed|ECONNRESET|socket hang up/u,
  );
  expect(server.asked()).toBe(0);
  const theirs = await serve(outsider);
  await expect(ask(member, theirs.address)).rejects.toThrow('does not name member.shoal.internal');
});

test.each([
  ['no certificate', { rejectUnauthorized: false }],
  ['TLS 1.2', { rejectUnauthorized: false, maxVersion: 'TLSv1.2' }],
] as const)('who comes with %s is sent no answer', async (_what, options) => {
  const server = await serve((await filesOf('member')).mtls());
  const socket = connectTls({ host: '127.0.0.1', port: server.port, ...options });
  const received: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => received.push(chunk)).on('error', () => {});
  socket.write('GET /secret HTTP/1.1\r\nHost: x\r\n\r\n');
  await new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
  });
  expect([Buffer.concat(received).length, server.asked()]).toEqual([0, 0]);
});

test('a renewed certificate is shown and proved without a restart, and one that cannot be used changes nothing', async () => {
  const [files, client] = [await filesOf('member'), (await filesOf('member')).mtls()];
  const security = files.mtls();
  const server = await serve(security);
  expect(await shownBy(server.port, client)).toBe('member');
  await files.put('renewed');
  await expect.poll(() => shownBy(server.port, client)).toBe('renewed');
  expect(await ask(security, server.address)).toBe('for members only');
  await writeFile(files.path('tls.crt'), 'half a certifica');
  await expect.poll(() => files.lines.join()).toContain('the last one stays');
  expect(await shownBy(server.port, client)).toBe('renewed');
  expect(await ask(security, server.address)).toBe('for members only');
});

/** A connection that stays open. */
async function keep(security: Security, port: number) {
  const socket = connectTls({ host: '127.0.0.1', port, ...clientTls(security) });
  await once(socket, 'secureConnect');
  onTestFinished(() => void socket.destroy());
  return socket;
}

test('an authority that is taken out ends the connections of those it made members, one that stays does not', async () => {
  const files = await filesOf('member');
  const server = await serve(files.mtls());
  const socket = await keep((await filesOf('renewed')).mtls(), server.port);
  const [own, other] = [await readFile(files.path('ca.crt')), await filesOf('impostor', 'other-ca')];
  await writeFile(files.path('ca.crt'), [await readFile(other.path('ca.crt'), 'utf8'), String(own)].join(''));
  await expect.poll(() => files.lines.join()).toContain('identity read again');
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(socket.closed).toBe(false);
  const ended = once(socket, 'close');
  await files.put('member', 'other-ca');
  await ended;
});

test('a connection ends with the certificate that it was proved by', async () => {
  const server = await serve((await filesOf('member')).mtls());
  const socket = await keep((await filesOf('renewed')).mtls(), server.port);
  const ended = once(socket, 'close');
  vi.useFakeTimers({ toFake: ['Date'], now: new Date('2200-01-01') });
  onTestFinished(() => void vi.useRealTimers());
  await ended;
  expect(socket.destroyed).toBe(true);
});

test('a certificate that has ended opens nothing by a session that is resumed', async () => {
  const files = await filesOf('member');
  const server = await serve(files.mtls());
  const first = connectTls({ host: '127.0.0.1', port: server.port, ...clientTls(files.mtls()) });
  const [session]: unknown[] = await once(first, 'session');
  first.destroy();
  const again = connectTls({
    host: '127.0.0.1',
    port: server.port,
    ...clientTls(files.mtls()),
    ...(Buffer.isBuffer(session) && { session }),
  });
  await once(again, 'secureConnect');
  expect(again.isSessionReused()).toBe(false);
  again.destroy();
});

test('what does not go together stops the start, and says which file', async () => {
  const files = await filesOf('outsider');
  expect(() => files.mtls()).toThrow(/tls\.crt does not name member\.shoal\.internal: .*mtls\.name/u);
  await files.put('member');
  await writeFile(files.path('ca.crt'), 'nothing');
  expect(() => files.mtls()).toThrow(/no certificate \(PEM\) in .*ca\.crt/u);
  await files.put('member');
  await writeFile(files.path('tls.key'), 'nothing');
  expect(() => files.mtls()).toThrow(/tls\.key.*do not go together/u);
});
