import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { writeFile } from 'node:fs/promises';

import { planCluster, portsNeeded } from '#cli/dev/plan.ts';
import { firstTaken } from '#cli/dev/ports.ts';
import { loadConfig } from '#service/config/load.ts';
import { loadSecurity } from '#service/identity.ts';
import { loadSigningKey } from '#service/signing.ts';

import { temporaryDirectory } from '../../support/temporary-directory.ts';

const takenPorts = () => ({ ephemeral: [32_768, 60_999], reserved: [] }) as const;
const options = { agents: 3, firstPort: 21_000, logLevel: 'warn', plainHosts: ['registry.local:5000'] };

test('each part takes its configuration, and they fit each other', async () => {
  await using dir = await temporaryDirectory('dev');
  const parts = await planCluster({ ...options, directory: dir.path });
  expect(parts.map(({ name }) => name)).toEqual([
    'tracker',
    'origin-1',
    'origin-2',
    'agent-1',
    'agent-2',
    'agent-3',
  ]);
  const configs = [];
  for (const { name, part, config } of parts) {
    const file = dir.join(`${name}.yaml`);
    await writeFile(file, JSON.stringify(config));
    configs.push(loadConfig(part, { file, takenPorts }));
  }
  for (const config of configs) expect(loadSecurity(config).mode).toBe('cluster-key');
  const keys = [1, 2].map(
    (index) => loadConfig('origin', { file: dir.join(`origin-${index}.yaml`) }).signingKeyFile,
  );
  const agent = loadConfig('agent', { file: dir.join('agent-1.yaml'), takenPorts });
  expect(agent.trustedOriginKeys).toEqual(
    keys.map((file) => loadSigningKey(file).publicKey.toString('base64')),
  );
  expect(agent.door.listen).toBe('127.0.0.1:21000');
  expect(agent.trackers).toEqual([loadConfig('tracker', { file: dir.join('tracker.yaml') }).listen]);
  expect(agent.upstreams.hosts).toEqual({ 'registry.local:5000': { plainHttp: true } });
});

test('no two parts share a port or a directory, and no more ports are taken than said', async () => {
  await using dir = await temporaryDirectory('dev');
  const parts = await planCluster({ ...options, directory: dir.path });
  const ports = parts.flatMap((part) => part.ports);
  expect(new Set(ports).size).toBe(ports.length);
  expect(Math.max(...ports) - Math.min(...ports) + 1).toBe(portsNeeded(3));
  const stores = parts.flatMap(({ config }) => ('store' in config ? [JSON.stringify(config['store'])] : []));
  expect(new Set(stores).size).toBe(5);
});

test('a second run in the same directory has the same keys', async () => {
  await using dir = await temporaryDirectory('dev');
  const first = await planCluster({ ...options, directory: dir.path });
  expect(await planCluster({ ...options, directory: dir.path })).toEqual(first);
});

test('a taken port is found', async () => {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const bound = server.address();
      resolve(bound !== null && typeof bound === 'object' ? bound.port : 0);
    });
  });
  expect(await firstTaken([port])).toBe(port);
  await new Promise((resolve) => {
    server.close(resolve);
  });
  expect(await firstTaken([port])).toBeUndefined();
});
