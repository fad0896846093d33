import { randomBytes } from 'node:crypto';
import { request } from 'undici';
import { expect, onTestFinished, test } from 'vitest';

import { listenForMembers } from '#agent/warm/member-listener.ts';
import { AgentClient } from '#kubernetes/preheat/agent-client.ts';
import { clusterDispatcher } from '#service/http-client.ts';
import type { Security } from '#service/identity.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';

import { withKeys } from '../../support/with-keys.ts';

const OWN = withKeys(randomBytes(32));
const IMAGE = { image: 'r.example/app:1' };

/** An agent's listener for members of the cluster whose key is `OWN`; nobody is at its door. */
async function listen(): Promise<string> {
  const listener = await listenForMembers('127.0.0.1:0', {
    security: OWN,
    logger: createLogger('test', { level: 'silent' }),
    metrics: createMetrics('agent', { process: false }),
    door: '127.0.0.1:1',
    hosts: {},
    proxy: {},
    holds: () => false,
    now: () => performance.now(),
    random: Math.random,
  });
  onTestFinished(() => listener[Symbol.asyncDispose]());
  return listener.address;
}

function client(security: Security): AgentClient {
  const dispatcher = clusterDispatcher(security);
  onTestFinished(() => dispatcher.destroy());
  return new AgentClient({ dispatcher, scheme: 'https' });
}

test('a member of the cluster may have an agent hold an image', async () => {
  const agent = await listen();
  const answer = await client(OWN).warm(agent, IMAGE, AbortSignal.timeout(5000));
  expect(answer).toMatchObject({ state: 'fetching' });
});

test('nobody else is answered: not with another key, and not without TLS', async () => {
  const agent = await listen();
  const stranger = client(withKeys(randomBytes(32)));
  await expect(stranger.warm(agent, IMAGE, AbortSignal.timeout(5000))).rejects.toThrow(/ssl|tls/iu);
  const plain = request(`http://${agent}/v1/warm`, { method: 'POST', body: JSON.stringify(IMAGE) });
  await expect(plain).rejects.toThrow(/other side closed|ECONNRESET|socket/u);
});

test('what is no image is refused with the reason', async () => {
  const agent = await listen();
  const asked = client(OWN).warm(agent, { image: 'UPPER/CASE' }, AbortSignal.timeout(5000));
  await expect(asked).rejects.toThrow('the agent answered: "UPPER/CASE" is not a repository');
});
