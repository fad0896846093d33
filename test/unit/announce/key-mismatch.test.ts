import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { fixedMembers } from '#service/discovery/member-list.ts';
import { OriginClient } from '#agent/origin-client.ts';
import { Ownership } from '#origin/ownership.ts';
import { clusterDispatcher } from '#service/http-client.ts';
import { type BoundServer, createHttpServer, listen } from '#service/http-server.ts';
import { loadSecurity, type Security } from '#service/identity.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import { startupGrace } from '#registry/retry.ts';
import { describeKeyMismatch } from '#swarm/announce/key-mismatch.ts';
import { TrackerClient } from '#swarm/announce/tracker-client.ts';
import { withKeys } from '../../support/with-keys.ts';

const FIXTURES = new URL('../service/fixtures/', import.meta.url).pathname;
const withCertificate = (subject: string, ca: string): Security => {
  const files = { certFile: `${FIXTURES}${subject}.pem`, keyFile: `${FIXTURES}${subject}-key.pem` };
  const mtls = { ...files, caFile: `${FIXTURES}${ca}.pem`, name: 'member.shoal.internal' };
  return loadSecurity({ security: 'mtls', mtls });
};
const withKey = (): Security => withKeys(randomBytes(32));
const OWN = withKey();

let member: BoundServer | undefined;
afterEach(() => member?.[Symbol.asyncDispose]());

async function startMember(security: Security): Promise<string> {
  const logger = createLogger('test', { level: 'silent' });
  const metrics = createMetrics('test', { process: false });
  member = await listen(
    createHttpServer({ name: 'test', security, bodyLimit: 1024, logger, metrics }),
    '127.0.0.1:0',
  );
  return member.address;
}

const signal = AbortSignal.timeout(10_000);

/** As it is told right after this part's start. */
const toldAtStart = (error: unknown): string => `${startupGrace(() => 0)(error)}: ${String(error)}`;

describe.each([
  [
    'another cluster key',
    OWN,
    withKey(),
    'it has another cluster key: clusterKeyFile must have the same key',
  ],
  ['no security', OWN, { mode: 'off' } as const, 'it speaks no TLS: security must be the same on both sides'],
  [
    'a certificate in the place of a key',
    OWN,
    withCertificate('member', 'ca'),
    'it proves membership in another way: security must be the same on both sides',
  ],
  [
    'a key in the place of a certificate',
    withCertificate('member', 'ca'),
    OWN,
    'it proves membership in another way: security must be the same on both sides',
  ],
  [
    'a certificate of another authority',
    withCertificate('member', 'ca'),
    withCertificate('impostor', 'other-ca'),
    'its certificate is not believed (SELF_SIGNED_CERT_IN_CHAIN): mtls.caFile must have the authorities',
  ],
])('of a member with %s it is a warning from the start', (_what, own, other, message) => {
  test('as the tracker, which says so', async () => {
    const trackers = [await startMember(other)];
    const dispatcher = clusterDispatcher(own);
    onTestFinished(() => dispatcher.destroy());
    const client = new TrackerClient({ dispatcher, trackers: fixedMembers(trackers), secure: true });
    const answer = { Check: (value: unknown): value is unknown => value !== undefined };
    const question = { method: 'POST', path: '/', body: {}, answer, timeoutMs: 5000 } as const;
    const told = await client.ask(question, signal).catch(toldAtStart);
    expect(told).toMatch(/^warn: /u);
    expect(told).toContain(`tracker ${trackers[0]}: ${message}`);
  });

  test('as the origin, which says so', async () => {
    const origins = [await startMember(other)];
    const failures: string[] = [];
    const dispatcher = clusterDispatcher(own);
    onTestFinished(() => dispatcher.destroy());
    const onFailure = (_origin: string, error: Error): number => failures.push(toldAtStart(error));
    const limit = { passDownload: async () => {} };
    const parts = { dispatcher, limit, now: Date.now, random: Math.random, onFailure };
    const client = new OriginClient(parts, { origins: fixedMembers(origins), scheme: 'https' });
    await client.anonymous('r.example', 'team/app', signal);
    expect(failures).toEqual([expect.stringMatching(/^warn: /u)]);
    expect(failures[0]).toContain(message);
  });

  test('as another origin, which says so', async () => {
    const place = await startMember(other);
    const failures: string[] = [];
    const dispatcher = clusterDispatcher(own);
    onTestFinished(() => dispatcher.destroy());
    const ownership = new Ownership(
      {
        dispatcher,
        now: Date.now,
        random: Math.random,
        events: { lost: (_member, error) => void failures.push(toldAtStart(error)), forwarded: () => {} },
        life: signal,
      },
      { ring: { self: '127.0.0.1:1', members: ['127.0.0.1:1', place] }, scheme: 'https' },
    );
    expect(await ownership.askOthers('/v1/reads/x')).toEqual([]);
    expect(failures).toEqual([expect.stringMatching(/^warn: /u)]);
    expect(failures[0]).toContain(message);
  });
});

test('any other failure is told as it is', () => {
  expect(describeKeyMismatch(new Error('refused'))).toBeUndefined();
  expect(describeKeyMismatch(Object.assign(new Error('x'), { code: 'ECONNREFUSED' }))).toBeUndefined();
});
