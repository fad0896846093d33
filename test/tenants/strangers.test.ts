import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseDigest } from '#registry/digest.ts';
import { verifiedSwarmId } from '#swarm/hashes/swarm-id.ts';
import { pullImage } from '../runtimes/door.ts';
import { keepLogsOnFailure } from '../runtimes/failure-logs.ts';
import { total } from '../runtimes/metrics.ts';
import { Agent } from '../runtimes/part.ts';
import { REGISTRY_ADDRESS, startScene } from '../runtimes/scene.ts';
import { listenersOf } from './listeners.ts';
import { answerTo, forgedPreamble, httpRequest, stockHandshake } from './strangers.ts';

const FIXTURES = join(import.meta.dirname, '../unit/service/fixtures');
const MTLS = {
  certFile: join(FIXTURES, 'member.pem'),
  keyFile: join(FIXTURES, 'member-key.pem'),
  caFile: join(FIXTURES, 'ca.pem'),
};
/** A TLS alert, which tells that TLS is spoken and nothing else: 5 bytes of head, 2 of alert. */
const ALERT_BYTES = 7;

/** All that a stranger could think of. */
function words(digest: string): { text: string; say: Buffer; tls: boolean }[] {
  const swarm = verifiedSwarmId(parseDigest(digest));
  const json = { 'content-type': 'application/json' };
  const peerId = '00'.repeat(20);
  const self = { role: 'agent', port: 1, topology: {} };
  const join_ = [{ swarm: swarm.toString('hex'), complete: true, want: 50 }];
  const announce = JSON.stringify({ peerId, session: 'a'.repeat(16), sequence: 0, self, join: join_ });
  const asked = [
    ...[
      '/',
      '/v2/',
      '/metrics',
      '/scrape',
      '/announce',
      '/v1/reads',
      '/v1/anonymous?registry=r&repository=a',
    ].map((path) => ({ text: `GET ${path}`, say: httpRequest('GET', path, {}) })),
    { text: 'GET blob', say: httpRequest('GET', `/v2/team/app/blobs/${digest}?ns=${REGISTRY_ADDRESS}`, {}) },
    { text: 'GET torrent', say: httpRequest('GET', `/torrents/${digest}.torrent`, {}) },
    { text: 'announce', say: httpRequest('POST', '/v1/announce', json, announce) },
    { text: 'lease', say: httpRequest('POST', '/v1/leases', json, '{}') },
    { text: 'prune', say: httpRequest('POST', '/v1/prune', json, '{"all":true}') },
  ];
  return [
    ...asked.flatMap((one) => [
      { ...one, tls: false },
      { ...one, text: `${one.text} by TLS`, tls: true },
    ]),
    { text: 'stock handshake', say: stockHandshake(swarm), tls: false },
    { text: 'forged preamble', say: forgedPreamble(swarm), tls: false },
    { text: 'noise', say: Buffer.alloc(4096, 0xa5), tls: false },
  ];
}

describe.each([
  ['cluster-key', {}],
  ['mtls', { mtls: MTLS }],
] as const)('with security: %s, who can reach every port', (_mode, identity) => {
  test('finds no listener beside those of the configuration, and gets from none of them a byte', async () => {
    const scene = await startScene({ cluster: { agents: 2, origins: 1, ...identity } });
    onTestFinished(() => scene[Symbol.asyncDispose]());
    const { cluster, registry } = scene;
    keepLogsOnFailure(cluster, registry);
    const pushed = await scene.push('team/app', [2_000_000]);
    for (const agent of cluster.agents)
      await pullImage(agent.door, pushed.tag, scene.asked(pushed.repository));
    const members = async (): Promise<number> =>
      total(await cluster.tracker.metrics(), 'shoal_tracker_members');
    expect(await members()).toBe(3);

    const outside: string[] = [];
    for (const part of [cluster.tracker, ...cluster.origins, ...cluster.agents]) {
      const found = await listenersOf(part.pid ?? 0);
      const local = [part.statusUrl, part instanceof Agent ? part.door : ''].map((url) =>
        url.slice('http://'.length),
      );
      const reached = found.map(({ protocol, address }) => (protocol === 'tcp' ? address : `udp ${address}`));
      const meant = [...local, part.peerAddress, part.config.listen].filter(
        (text) => text !== undefined && text !== '',
      );
      expect(new Set(reached)).toEqual(new Set(meant));
      outside.push(...reached.filter((address) => !local.includes(address)));
    }
    expect(outside.length).toBe(5);

    const layer = pushed.image.layers[1]?.digest ?? '';
    const told: string[] = [];
    for (const address of outside) {
      const answers = words(layer).map(async ({ text, say, tls }) => {
        const answer = await answerTo(address, say, tls);
        if (answer.length > (tls ? 0 : ALERT_BYTES))
          told.push(`${address}, ${text}: ${answer.toString('latin1')}`);
      });
      await Promise.all(answers);
    }
    expect(told).toEqual([]);
    expect(await members()).toBe(3);
    // Having been knocked at by strangers, the parts still serve members.
    const again = await scene.push('team/again', [2_000_000]);
    for (const agent of cluster.agents) await pullImage(agent.door, again.tag, scene.asked(again.repository));
  });
});
