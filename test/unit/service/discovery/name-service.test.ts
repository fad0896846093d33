import { Resolver } from 'node:dns/promises';
import { expect, onTestFinished, test } from 'vitest';

import { NameService, NameServiceError, parseSearchRules } from '#service/discovery/name-service.ts';
import type { SearchRules } from '#service/discovery/name-service.ts';

import { type NameServer, startNameServer, type Zone } from '../../../support/name-server.ts';

const IN_A_POD: SearchRules = {
  search: ['shoal.svc.cluster.test', 'svc.cluster.test', 'cluster.test'],
  ndots: 5,
};

async function serve(
  zone: Zone,
  rules: SearchRules = IN_A_POD,
): Promise<{ names: NameService; server: NameServer }> {
  const server = await startNameServer(zone);
  onTestFinished(() => server[Symbol.asyncDispose]());
  const resolver = new Resolver({ timeout: 200, tries: 1 });
  resolver.setServers([server.address]);
  return { names: new NameService(resolver, rules), server };
}

test('a name without the cluster’s domain is found, and the next time by the first question', async () => {
  const { names, server } = await serve({
    'tracker.shoal.svc.cluster.test': { A: ['10.0.0.2', '10.0.0.1'] },
  });
  server.ttl = 5;
  expect(await names.addresses('tracker.shoal.svc')).toMatchObject({
    records: expect.arrayContaining(['10.0.0.1', '10.0.0.2']),
    name: 'tracker.shoal.svc.cluster.test',
    ttl: 5,
  });
  const asked = server.questions.length;
  await names.addresses('tracker.shoal.svc');
  expect(server.questions.slice(asked).toSorted()).toEqual([
    'A tracker.shoal.svc.cluster.test',
    'AAAA tracker.shoal.svc.cluster.test',
  ]);
});

test('IPv4 addresses count where there are both, IPv6 ones where there are no others', async () => {
  const { names } = await serve({
    'both.example': { A: ['10.0.0.1'], AAAA: ['fd00::1'] },
    'six.example': { AAAA: ['fd00::2', 'fd00::1:0:3'] },
  });
  expect((await names.addresses('both.example.')).records).toEqual(['10.0.0.1']);
  expect((await names.addresses('six.example.')).records).toEqual(['fd00::2', 'fd00::1:0:3']);
});

test('a service’s targets come with their ports', async () => {
  const { names } = await serve({
    '_http._tcp.origin.shoal.svc.cluster.test': { SRV: ['29520 origin-0.origin.shoal.svc.cluster.test'] },
  });
  expect(await names.services('_http._tcp.origin.shoal.svc')).toMatchObject({
    records: [{ host: 'origin-0.origin.shoal.svc.cluster.test', port: 29_520 }],
    name: '_http._tcp.origin.shoal.svc.cluster.test',
  });
});

test('a name that ends with a dot is not completed', async () => {
  const { names, server } = await serve({});
  await expect(names.addresses('tracker.')).rejects.toThrow(NameServiceError);
  expect(new Set(server.questions)).toEqual(new Set(['A tracker', 'AAAA tracker']));
});

test('a name server that is silent is told from a name that nobody has', async () => {
  const { names, server } = await serve({});
  await expect(names.addresses('nobody.example.')).rejects.toThrow(
    'knows nobody by the name nobody.example.',
  );
  server.silent = true;
  await expect(names.addresses('nobody.example.')).rejects.toThrow('does not answer: ETIMEOUT');
});

test.each([
  ['nameserver 10.0.0.10\nsearch a.test. b.test\noptions ndots:5 timeout:1\n', ['a.test', 'b.test'], 5],
  ['domain only.test', ['only.test'], 1],
  ['search old.test\nsearch new.test\n# search comment.test\noptions ndots:99', ['new.test'], 15],
  ['', [], 1],
])('of resolv.conf %j search and ndots count', (text, search, ndots) => {
  expect(parseSearchRules(text)).toEqual({ search, ndots });
});
