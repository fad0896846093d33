import { once } from 'node:events';
import { createServer } from 'node:http';
import { Resolver } from 'node:dns/promises';
import { Agent } from 'undici';
import { expect, onTestFinished, test, vi } from 'vitest';

import { Discovery, type DiscoveryParts, memberLookup } from '#service/discovery/discovery.ts';
import { NameService } from '#service/discovery/name-service.ts';
import { createLogger } from '#service/logger.ts';

import { type NameServer, startNameServer, type Zone } from '../../../support/name-server.ts';

async function serve(zone: Zone): Promise<{ names: NameService; server: NameServer }> {
  const server = await startNameServer(zone);
  onTestFinished(() => server[Symbol.asyncDispose]());
  const resolver = new Resolver({ timeout: 200, tries: 1 });
  resolver.setServers([server.address]);
  return { names: new NameService(resolver, { search: ['cluster.test'], ndots: 5 }), server };
}

async function discover(entries: readonly string[], names?: NameService): Promise<Discovery> {
  const found = await Discovery.start(
    'trackers',
    entries,
    { logger: createLogger('test', { level: 'silent' }), random: Math.random, ...(names && { names }) },
    new AbortController().signal,
  );
  onTestFinished(() => found[Symbol.asyncDispose]());
  return found;
}

test('members named one by one are there at once, in their order, and never change', async () => {
  const found = await discover(['b.example:2', 'a.example:1', 'b.example:2', '[fd00::1]:3']);
  expect(found.current).toEqual(['b.example:2', 'a.example:1', '[fd00::1]:3']);
});

test('a name stands for all its addresses, in an order that does not depend on the answer', async () => {
  const zone = { 'tracker.shoal.svc.cluster.test': { A: ['10.0.0.9', '10.0.0.10'] } };
  const { names } = await serve(zone);
  const found = await discover(['fixed.example:1', 'dns+tracker.shoal.svc:29510'], names);
  expect(found.current).toEqual(['fixed.example:1', '10.0.0.10:29510', '10.0.0.9:29510']);
  const onChange = vi.fn<() => void>();
  found.onChange(onChange);
  zone['tracker.shoal.svc.cluster.test'].A = ['10.0.0.10', '10.0.0.9'];
  await new Promise((resolve) => setTimeout(resolve, 1200));
  expect(onChange).not.toHaveBeenCalled();
});

test('who comes or goes is seen with the next answer', async () => {
  const zone = { 'tracker.shoal.svc.cluster.test': { A: ['10.0.0.1'] } };
  const { names } = await serve(zone);
  const found = await discover(['dns+tracker.shoal.svc:1'], names);
  const onChange = vi.fn<() => void>();
  found.onChange(onChange);
  zone['tracker.shoal.svc.cluster.test'].A = ['10.0.0.2', '10.0.0.3'];
  await expect.poll(() => found.current).toEqual(['10.0.0.2:1', '10.0.0.3:1']);
  expect(onChange).toHaveBeenCalledTimes(1);
});

test('without a name service, and with one that names nobody, the members last known stay', async () => {
  const zone: Zone = { 'tracker.shoal.svc.cluster.test': { A: ['10.0.0.1'] } };
  const { names, server } = await serve(zone);
  const found = await discover(['dns+tracker.shoal.svc:1'], names);
  server.silent = true;
  const asked = server.questions.length;
  await expect.poll(() => server.questions.length).toBeGreaterThan(asked);
  expect(found.current).toEqual(['10.0.0.1:1']);
  delete zone['tracker.shoal.svc.cluster.test'];
  server.silent = false;
  const again = server.questions.length;
  await expect.poll(() => server.questions.length).toBeGreaterThan(again + 2);
  expect(found.current).toEqual(['10.0.0.1:1']);
  zone['tracker.shoal.svc.cluster.test'] = { A: ['10.0.0.7'] };
  await expect.poll(() => found.current).toEqual(['10.0.0.7:1']);
});

test('a part starts while no name service answers, and finds its members later', async () => {
  const zone: Zone = {};
  const { names, server } = await serve(zone);
  server.silent = true;
  const found = await discover(['dns+tracker.shoal.svc:1'], names);
  expect(found.current).toEqual([]);
  server.silent = false;
  zone['tracker.shoal.svc.cluster.test'] = { A: ['10.0.0.1'] };
  await expect.poll(() => found.current).toEqual(['10.0.0.1:1']);
});

test('members of a service go by names that outlive their addresses, the same in every cluster domain', async () => {
  const zone: Zone = {
    '_http._tcp.origin.shoal.svc.cluster.test': {
      SRV: ['29520 origin-1.origin.shoal.svc.cluster.test', '29520 origin-0.origin.shoal.svc.cluster.test'],
    },
    'origin-0.origin.shoal.svc.cluster.test': { A: ['10.0.0.1'], AAAA: ['fd00::1'] },
    'origin-1.origin.shoal.svc.cluster.test': { A: ['10.0.0.2'], AAAA: ['fd00::2'] },
  };
  const { names } = await serve(zone);
  const found = await discover(['dnssrv+_http._tcp.origin.shoal.svc'], names);
  const members = ['origin-0.origin.shoal.svc:29520', 'origin-1.origin.shoal.svc:29520'];
  expect(found.current).toEqual(members);
  expect(found.memberAt(new Set(['10.0.0.2']))).toBe(members[1]);
  zone['origin-1.origin.shoal.svc.cluster.test'] = { A: ['10.0.0.77'] };
  await expect.poll(() => found.addressesOf('origin-1.origin.shoal.svc')).toEqual(['10.0.0.77']);
  expect(found.current).toEqual(members);
});

test('a member without an address for now hides no other, and keeps the one that it had', async () => {
  const first = 'origin-0.origin.shoal.svc.cluster.test';
  const second = 'origin-1.origin.shoal.svc.cluster.test';
  const service = { SRV: [`1 ${first}`, `1 ${second}`] };
  const zone: Zone = { '_http._tcp.origin.shoal.svc.cluster.test': service, [first]: { A: ['10.0.0.1'] } };
  const { names } = await serve(zone);
  const found = await discover(['dnssrv+_http._tcp.origin.shoal.svc'], names);
  expect(found.current).toEqual(['origin-0.origin.shoal.svc:1']);
  zone[second] = { A: ['10.0.0.2'] };
  delete zone[first];
  await expect
    .poll(() => found.current)
    .toEqual(['origin-0.origin.shoal.svc:1', 'origin-1.origin.shoal.svc:1']);
  expect(found.addressesOf('origin-0.origin.shoal.svc')).toEqual(['10.0.0.1']);
});

test('a connection to a discovered member needs no name service', async () => {
  const zone: Zone = {
    '_http._tcp.origin.shoal.svc.cluster.test': { SRV: ['1 origin-0.origin.shoal.svc.cluster.test'] },
    'origin-0.origin.shoal.svc.cluster.test': { A: ['127.0.0.1'] },
  };
  const { names, server } = await serve(zone);
  const found = await discover(['dnssrv+_http._tcp.origin.shoal.svc'], names);
  server.silent = true;
  const http = createServer((_request, response) => response.end('here')).listen(0, '127.0.0.1');
  await once(http, 'listening');
  onTestFinished(() => void http.close());
  const dispatcher = new Agent({ connect: { lookup: memberLookup(found) } });
  onTestFinished(() => dispatcher.destroy());
  const bound = http.address();
  const port = bound !== null && typeof bound === 'object' ? bound.port : 0;
  const { body } = await dispatcher.request({
    origin: `http://origin-0.origin.shoal.svc:${port}`,
    path: '/',
    method: 'GET',
  });
  expect(await body.text()).toBe('here');
});

test.each(['tracker', 'dns+tracker', 'dnssrv+tracker.shoal.svc', 'dns+a b:1'])(
  '%j is refused',
  async (entry) => {
    await expect(discover([entry])).rejects.toThrow('is none of host:port, dns+NAME:PORT');
  },
);

test('a part does not start as if it were alone while the endpoints of its members are looked up', async () => {
  const answer = Promise.withResolvers<void>();
  let members: string[] | undefined;
  const parts: DiscoveryParts = {
    logger: createLogger('test', { level: 'silent' }),
    random: Math.random,
    watchEndpoints: (_entry, onAnswer) => ({
      get members() {
        return members;
      },
      addressesOf: () => undefined,
      synced: answer.promise.then(() => onAnswer()),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }),
  };
  const { signal } = new AbortController();
  const starting = Discovery.start('origins', ['endpoints+shoal/shoal-origin:http'], parts, signal);
  setTimeout(() => {
    members = ['origin-0.shoal-origin.shoal.svc:29520'];
    answer.resolve();
  }, 50);
  await using found = await starting;
  expect(found.current).toEqual(['origin-0.shoal-origin.shoal.svc:29520']);
});

test('an agent is told that it cannot watch endpoints', async () => {
  await expect(discover(['endpoints+shoal/shoal-origin:http'])).rejects.toThrow(
    'only trackers and origins can watch endpoints',
  );
});
