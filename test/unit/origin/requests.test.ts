import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { WaitingCallers } from '#origin/waiting-callers.ts';
import { MergedWork } from '#origin/merged-work.ts';
import { announceUrls, parseAnnounceUrls } from '#origin/announce-urls.ts';
import { parseOriginRequest } from '#origin/routes/request.ts';
import { digestOf } from '#registry/digest.ts';
import { OciError } from '#registry/oci-error.ts';
import { UpstreamRefusedError } from '#registry/upstream-error.ts';

const digest = digestOf('x');
const caller = (authorization: string, positive = false, repository = 'team/app') => ({
  registry: 'r.example',
  repository,
  authorization,
  positive,
});
const refusal = new UpstreamRefusedError('r.example', {
  status: 401,
  challenges: [],
  errors: [{ code: 'UNAUTHORIZED' }],
});

test('a request is read as agents write it', () => {
  const headers = { 'shoal-authorization': 'Bearer t', 'shoal-verdict': 'positive', accept: 'a/b' };
  expect(parseOriginRequest('/v2/team/app/manifests/v1?ns=R.example%3A5000', headers)).toEqual({
    kind: 'manifest',
    reference: 'v1',
    accept: 'a/b',
    isForwarded: false,
    caller: { registry: 'r.example:5000', repository: 'team/app', authorization: 'Bearer t', positive: true },
  });
  expect(parseOriginRequest(`/v2/a/blobs/${digest}?ns=docker.io`, { 'shoal-forwarded': '1' })).toMatchObject({
    kind: 'blob',
    digest,
    isForwarded: true,
    caller: { positive: false },
  });
  const ahead = (told: string): unknown =>
    parseOriginRequest(`/v2/a/blobs/${digest}?ns=docker.io`, { 'shoal-ahead': told });
  expect(ahead('4096')).toMatchObject({ ahead: 4096 });
  expect(() => ahead('soon')).toThrow('Shoal-Ahead is not a number of bytes');
  expect(parseOriginRequest('/v2/a/tags/list?n=3&ns=docker.io&last=b', {})).toMatchObject({
    kind: 'tags',
    query: 'n=3&last=b',
  });
});

test('whatever is asked, the answer is a request or a refusal that says why', () => {
  const piece = fc.oneof(
    fc.constantFrom('v2', 'team', 'blobs', 'manifests', digest, '%', '..', 'tags'),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 7 }), fc.string(), (path, query) => {
      const told = outcome(() => parseOriginRequest(`/${path.join('/')}?${query}`, {}).caller.repository);
      expect(told).toMatch(/^(?!unforeseen)[a-z0-9]|^OciError: ./u);
    }),
  );
});

test('who waits takes the place of a refused credential, those with a yes first', () => {
  const waiting = new WaitingCallers(caller('first'));
  waiting.offer(caller('unsure'));
  waiting.offer(caller('sure', true));
  waiting.offer(caller('newest'));
  const order: (string | undefined)[] = [waiting.current.authorization];
  for (let left = 3; left > 0; left--) {
    waiting.refused(refusal);
    order.push(waiting.current.authorization);
  }
  expect(order).toEqual(['first', 'sure', 'newest', 'unsure']);
  expect(() => waiting.refused(refusal)).toThrow(refusal);
  expect(() => waiting.current).toThrow(refusal);
  waiting.offer(caller('late'));
  expect(waiting.current.authorization).toBe('late');
});

test('however many credentials are offered, few are held, and those with a yes longest', () => {
  const waiting = new WaitingCallers(caller('opener'));
  waiting.offer(caller('sure', true));
  for (let count = 0; count < 1000; count++) waiting.offer(caller(`flood ${count}`));
  expect(waiting.count).toBeLessThanOrEqual(33);
  waiting.refused(refusal);
  expect(waiting.current.authorization).toBe('sure');
});

test("one caller's refusal is not another's, and what succeeds is done once", async () => {
  const merged = new MergedWork<string>((error) => error === refusal);
  const { signal } = new AbortController();
  const asked: string[] = [];
  const ask = (credential: string): Promise<unknown> =>
    merged
      .run('key', credential, signal, async () => {
        asked.push(credential);
        await new Promise(setImmediate);
        if (credential === 'bad') throw refusal;
        return credential;
      })
      .catch((error: unknown) => error);
  const told = await Promise.all(['bad', 'bad', 'good', 'better', 'best'].map(ask));
  expect(asked).toEqual(['bad', 'good']);
  expect(told).toEqual([
    refusal,
    refusal,
    { result: 'good', own: true },
    { result: 'good', own: false },
    { result: 'good', own: false },
  ]);
  expect(merged.size).toBe(0);
});

test('announce URLs are those of the trackers, or what the client names within bounds', () => {
  expect(announceUrls(['tracker:29510', '[fd00::1]:29510'])).toEqual([
    'http://tracker:29512/announce',
    'http://[fd00::1]:29512/announce',
  ]);
  expect(parseAnnounceUrls(['udp://t:1/announce'])).toEqual(['udp://t:1/announce']);
  expect(() => parseAnnounceUrls(['file:///etc/passwd'])).toThrow(/http, https or udp/u);
  expect(() => parseAnnounceUrls(Array.from({ length: 9 }, () => 'http://t/'))).toThrow(/8 are allowed/u);
});

function outcome(work: () => string): string {
  try {
    return work();
  } catch (error) {
    return error instanceof OciError ? String(error) : `unforeseen ${String(error)}`;
  }
}
