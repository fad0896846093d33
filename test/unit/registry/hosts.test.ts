import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { Hosts, UpstreamHostError } from '#registry/hosts.ts';
import { proxyChoice, ProxySettingsError, proxySettings } from '#registry/proxy.ts';
import { readBody } from '#registry/response-body.ts';
import type { Target } from '#registry/upstream-answer.ts';
import { AUTHORITY, patience, portOf, serve, stop, upstreamFor } from './loopback.ts';
import { succeedsOrThrows } from './outcome.ts';

const ANYONE = { kind: 'forward' } as const;
const blobOf = (registry: string): Target => ({
  registry,
  repository: 'org/app',
  kind: 'blob',
  reference: digestOf('x'),
});

describe('a registry', () => {
  test.each([
    ['docker.io', 'https://registry-1.docker.io/'],
    ['ghcr.io', 'https://ghcr.io/'],
    ['localhost:5000', 'https://localhost:5000/'],
    ['plain.example', 'http://plain.example/'],
    ['mirrored.example', 'https://harbor.example/proxy/mirrored/'],
  ])('%s is asked at %s', async (registry, endpoint) => {
    await using hosts = new Hosts({
      'plain.example': { plainHttp: true },
      'mirrored.example': { endpoint: 'https://harbor.example/proxy/mirrored' },
    });
    expect(hosts.endpoint(registry).href).toBe(endpoint);
  });

  test('at an endpoint with a path is asked below it', async () => {
    const server = await serve((_, response) => response.end());
    const hosts = { 'mirrored.example': { endpoint: `http://${server.host}/proxy`, plainHttp: true } };
    await upstreamFor({ hosts }).head(blobOf('mirrored.example'), ANYONE, patience());
    expect(server.requests[0]?.url).toBe(`/proxy/v2/org/app/blobs/${digestOf('x')}`);
  });

  test('is asked in plain HTTP only where it is named so, on loopback too', async () => {
    const server = await serve((_, response) => response.end());
    const result = await upstreamFor({ attempts: 1 }).head(blobOf(server.host), ANYONE, patience());
    expect(result).toMatchObject({ kind: 'unreachable' });
    expect(server.requests).toHaveLength(0);
  });

  test.each([
    ['a name that is none', { 'a/b': {} }, 'is not a registry'],
    ['an endpoint that is no URL', { 'a.b': { endpoint: 'nowhere' } }, 'not an http or https URL'],
    [
      'a password in the endpoint',
      { 'a.b': { endpoint: 'https://u:hunter2@a.b' } },
      'a host, a port and a path only',
    ],
    ['plain HTTP by the way', { 'a.b': { endpoint: 'http://a.b' } }, 'plainHttp'],
    ['a CA file that is not there', { 'a.b': { ca: '/nonexistent/ca.pem' } }, '/nonexistent/ca.pem'],
  ])('set up with %s stops the start', (_, hosts, told) => {
    expect(() => new Hosts(hosts)).toThrow(UpstreamHostError);
    expect(() => new Hosts(hosts)).toThrow(told);
    expect(() => new Hosts(hosts)).not.toThrow('hunter2');
  });

  test('set up with a CA file that holds no certificate stops the start', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'shoal-hosts-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const ca = join(folder, 'ca.pem');
    await writeFile(ca, 'no certificate');
    expect(() => new Hosts({ 'a.b': { ca } })).toThrow(UpstreamHostError);
  });
});

describe('TLS', () => {
  test('trusts the CA that is named for the host, and for no other', async () => {
    const server = await serve((_, response) => response.end('secret'), { tls: true });
    const other = await serve((_, response) => response.end(), { tls: true });
    const upstream = upstreamFor({ hosts: { [server.host]: { ca: AUTHORITY } } });
    const result = await upstream.get(blobOf(server.host), ANYONE, patience());
    expect(result.ok && String(await readBody(result.body, 100))).toBe('secret');
    expect(await upstream.get(blobOf(other.host), ANYONE, patience())).toMatchObject({
      kind: 'unreachable',
      cause: { temporary: false },
    });
    expect(other.requests).toHaveLength(0);
  });
});

/** A forward proxy that sends everything to one port, whatever name it was asked for. */
async function proxyTo(port: number): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const proxy = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers['proxy-authorization'] ?? ''}`.trim());
    response.end('through the proxy');
  });
  proxy.on('connect', (request, socket: Socket) => {
    asked.push(`CONNECT ${request.url}`);
    const target = connect(port, '127.0.0.1', () => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
    for (const end of [socket, target]) sockets.add(end.on('error', () => end.destroy()));
    target.pipe(socket).pipe(target);
  });
  await new Promise<void>((resolve) => void proxy.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await stop(proxy);
  });
  return { url: `127.0.0.1:${portOf(proxy)}`, asked };
}

describe('a proxy', () => {
  test('is asked for plain HTTP with the whole URL and its password', async () => {
    const { url, asked } = await proxyTo(0);
    const hosts = { 'registry.example:5000': { plainHttp: true } };
    const proxy = { httpProxy: `http://me:pw@${url}` };
    const upstream = upstreamFor({ hosts, hostsOptions: { proxy } });
    const result = await upstream.get(blobOf('registry.example:5000'), ANYONE, patience());
    expect(result.ok && String(await readBody(result.body, 100))).toBe('through the proxy');
    expect(asked).toEqual([
      `GET http://registry.example:5000/v2/org/app/blobs/${digestOf('x')} Basic ${Buffer.from('me:pw').toString('base64')}`,
    ]);
  });

  test('is asked to connect for HTTPS, and sees nothing of it', async () => {
    const server = await serve((_, response) => response.end('secret'), { tls: true });
    const { url, asked } = await proxyTo(portOf(server.server));
    const hosts = { 'registry.example': { ca: AUTHORITY } };
    const upstream = upstreamFor({ hosts, hostsOptions: { proxy: { httpsProxy: url } } });
    const result = await upstream.get(blobOf('registry.example'), ANYONE, patience());
    expect(result.ok && String(await readBody(result.body, 100))).toBe('secret');
    expect(asked).toEqual(['CONNECT registry.example:443']);
  });

  test('is not asked for a host of NO_PROXY, nor for loopback', async () => {
    const server = await serve((_, response) => response.end('direct'));
    const { url, asked } = await proxyTo(0);
    const upstream = upstreamFor({ plain: [server], hostsOptions: { proxy: { httpProxy: url } } });
    const result = await upstream.get(blobOf(server.host), ANYONE, patience());
    expect(result.ok && String(await readBody(result.body, 100))).toBe('direct');
    expect(asked).toEqual([]);
  });
});

describe('NO_PROXY', () => {
  test.each([
    ['', 'https://ghcr.io', true],
    ['*', 'https://ghcr.io', false],
    ['ghcr.io', 'https://ghcr.io', false],
    ['GHCR.io', 'https://sub.ghcr.io', false],
    ['ghcr.io', 'https://notghcr.io', true],
    ['.ghcr.io', 'https://ghcr.io', true],
    ['*.ghcr.io', 'https://a.ghcr.io', false],
    ['ghcr.io:443', 'https://ghcr.io', false],
    ['ghcr.io:444', 'https://ghcr.io', true],
    ['a, 10.0.0.0/8 ,b', 'http://10.1.2.3:5000', false],
    ['10.0.0.0/8', 'http://11.1.2.3', true],
    ['10.1.2.3', 'http://10.1.2.3', false],
    ['10.1.2.3:5000', 'http://10.1.2.3:5001', true],
    ['fd00::/8', 'http://[fd00::1]:5000', false],
    ['[fd00::1]:5000', 'http://[fd00::1]:5000', false],
    ['', 'http://localhost:5000', false],
    ['', 'http://127.0.0.53', false],
    ['', 'http://[::1]', false],
  ])('%j: %s goes through the proxy: %s', (noProxy, url, wanted) => {
    const choose = proxyChoice({ httpProxy: 'p:1', httpsProxy: 'p:2', noProxy });
    expect(choose(new URL(url)) !== undefined).toBe(wanted);
  });

  test('of any text is read or refused with its own error', () => {
    const entries = fc.array(
      fc.oneof(fc.string(), fc.ipV4(), fc.ipV6(), fc.stringMatching(/^10\.0\.0\.0\/[0-9-]{1,3}$/u)),
    );
    fc.assert(
      fc.property(entries, (list) => {
        expect(succeedsOrThrows(() => proxyChoice({ noProxy: list.join(',') }), ProxySettingsError)).toBe(
          true,
        );
      }),
    );
  });
});

describe('the environment', () => {
  test('counts in lower case first; what is empty counts as unset', () => {
    const env = { HTTP_PROXY: 'upper:1', http_proxy: 'lower:1', HTTPS_PROXY: '', no_proxy: 'a' };
    expect(proxySettings(env)).toEqual({ httpProxy: 'lower:1', noProxy: 'a' });
  });

  test('with a proxy that is none stops the start without showing its password', () => {
    const settings = { httpsProxy: 'socks5://me:hunter2@h:1' };
    expect(() => new Hosts({}, { proxy: settings })).toThrow('HTTPS_PROXY');
    expect(() => new Hosts({}, { proxy: settings })).not.toThrow('hunter2');
  });
});
