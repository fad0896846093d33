import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import { startAgent } from '#agent/agent.ts';
import { ClusterKeyCheck } from '#agent/cluster-key-check.ts';
import { loadConfig } from '#service/config/load.ts';
import { clusterDispatcher } from '#service/http-client.ts';
import { createHttpServer, listen } from '#service/http-server.ts';
import type { Security } from '#service/identity.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import { freePort } from '../../../demo/free-port.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { withKeys } from '../../support/with-keys.ts';

const KEY = randomBytes(32);
const OWN = withKeys(KEY);
const OTHER = withKeys(randomBytes(32));
const NOBODY = '127.0.0.1:1';
const logger = createLogger('test', { level: 'silent' });
const signal = new AbortController().signal;

/** A tracker or origin, as far as its key matters. */
async function startMember(security: Security): Promise<string> {
  const metrics = createMetrics('test', { process: false });
  const server = await listen(
    createHttpServer({ name: 'test', security, bodyLimit: 1024, logger, metrics }),
    '127.0.0.1:0',
  );
  onTestFinished(() => server[Symbol.asyncDispose]());
  return server.address;
}

async function faultsOf(trackers: readonly string[], origins: readonly string[]): Promise<readonly string[]> {
  const dispatcher = clusterDispatcher(OWN);
  onTestFinished(() => dispatcher.destroy());
  const check = new ClusterKeyCheck(
    { dispatcher, now: () => 0, signal },
    { places: () => ({ trackers, origins }), scheme: 'https' },
  );
  await check.check();
  return check.faults;
}

test('an agent with another key is told so, of trackers and origins apart', async () => {
  const [friend, stranger] = [await startMember(OWN), await startMember(OTHER)];
  const mismatch = 'it has another cluster key: clusterKeyFile must have the same key on both sides';
  expect(await faultsOf([friend], [friend])).toEqual([]);
  expect(await faultsOf([stranger], [friend])).toEqual([
    `no tracker takes this agent for a member: ${mismatch}`,
  ]);
  expect(await faultsOf([friend], [stranger, stranger])).toEqual([
    `no origin takes this agent for a member: ${mismatch}`,
  ]);
  expect(await faultsOf([stranger, friend], [])).toEqual([]);
});

test('who cannot be reached says nothing of the key, and nothing against it beside one who refuses it', async () => {
  expect(await faultsOf([NOBODY], [NOBODY])).toEqual([]);
  expect(await faultsOf([NOBODY, await startMember(OTHER)], [])).toEqual([]);
  expect(await faultsOf([await startMember(OTHER), NOBODY], [])).toEqual([]);
});

test('/readyz of an agent with another key than the tracker is not ready, and says why on loopback', async () => {
  await using directory = await temporaryDirectory('key-check');
  const clusterKeyFile = directory.join('cluster.key');
  await writeFile(clusterKeyFile, KEY.toString('base64'));
  const config = loadConfig('agent', {
    flags: {
      clusterKeyFile,
      'door.listen': `127.0.0.1:${await freePort()}`,
      'status.listen': '127.0.0.1:0',
      'peer.listen': `127.0.0.1:${await freePort()}`,
      'store.path': directory.join('store'),
      'store.quota': '10MiB',
      trackers: await startMember(OTHER),
    },
  });
  const metrics = createMetrics('agent', { process: false });
  await using agent = await startAgent(config, { signal, logger, metrics, env: {} });
  const ready = async (): Promise<string> => (await fetch(`http://${agent.statusAddress}/readyz`)).text();
  await expect.poll(ready).toMatch(/^not ready\nno tracker takes this agent for a member: it has another/u);
});
