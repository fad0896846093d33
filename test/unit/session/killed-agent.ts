/**
 * An agent's swarm in a process of its own that takes in pieces until it is killed; tells how many after each.
 * Arguments: the store's directory, the blob's pieces, the signer's public key, a file with the signed batch.
 */
import { readFileSync } from 'node:fs';
import { Agent } from 'undici';
import { fixedMembers } from '#service/discovery/member-list.ts';
import { digestOf } from '#registry/digest.ts';
import { parsePublicKeys } from '#service/signing.ts';
import { startSwarm } from '#swarm/session/start.ts';
import { Whereabouts } from '#swarm/session/whereabouts.ts';
import { BlobStore } from '#swarm/store/blob-store.ts';
import { PieceMemory } from '#swarm/session/piece-memory.ts';
import { deterministicBytes } from '../../support/bytes.ts';

const PIECE = 256 * 1024;
const [directory = '', pieces = '0', publicKey = '', batch = ''] = process.argv.slice(2);
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const store = await BlobStore.open(
  { directory, quotaBytes: 2 ** 30 },
  { logger: silent, now: Date.now, onEvict: () => {} },
);
const { engine } = await startSwarm(
  {
    store,
    dispatcher: new Agent(),
    logger: silent,
    trusted: parsePublicKeys([publicKey]),
    count: { verified: () => {}, failed: () => {}, sent: () => {}, received: () => {} },
    now: () => performance.now(),
    random: Math.random,
  },
  {
    role: 'agent',
    topology: {},
    whereabouts: new Whereabouts({}),
    listen: { host: '127.0.0.1', port: 0 },
    trackers: fixedMembers([]),
    identity: {},
    admitStrangers: false,
    limits: {},
    peers: { maxPeersPerSwarm: 40, maxConnections: 512 },
  },
);
const blob = deterministicBytes('killed', Number(pieces) * PIECE);
const torrent = await engine.torrent({
  digest: digestOf(blob),
  scope: 'registry.example',
  size: blob.length,
});
torrent.batches.add(readFileSync(batch));
for (let index = 0; index < Number(pieces) - 1; index++) {
  torrent.supply(index, new PieceMemory(blob.subarray(index * PIECE, (index + 1) * PIECE)));
  await torrent.caughtUp();
  process.stdout.write(`${index + 1}\n`);
  await new Promise((resolve) => setTimeout(resolve, 2));
}
