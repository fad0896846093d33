import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { parseDigest } from '#registry/digest.ts';
import { verifiedSwarmId } from '#swarm/hashes/swarm-id.ts';
import type { UpstreamRegistry } from '../../demo/upstream-registry.ts';
import { ask, type Asked } from '../runtimes/door.ts';
import { basic } from '../runtimes/images.ts';
import type { Agent } from '../runtimes/part.ts';
import type { Scene } from '../runtimes/scene.ts';
import { deterministicBytes } from '../support/bytes.ts';
import { pullBlob, type PullOptions } from '../../demo/pull-blob.ts';
import { type Caller, REPOSITORY } from './callers.ts';
import { answerTo, forgedPreamble, httpRequest, stockHandshake } from './strangers.ts';

export const EVIL = 'evil.test';
export const OTHER = 'other.test';
const EVIL_REPOSITORY = 'evil/app';
const FOREIGN = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';

/** One cell of the matrix: who asks for what, and which agent. */
export interface Asking {
  readonly scene: Scene;
  readonly evil: UpstreamRegistry;
  readonly agent: Agent;
  readonly caller: Caller;
  readonly tag: string;
  readonly index: { readonly digest: string; readonly bytes: Buffer };
  readonly layer: { readonly digest: string; readonly bytes: Buffer };
}

export interface Way {
  readonly name: string;
  /** What it gives to who may read; without it the way is open to nobody. */
  readonly opens?: (asking: Asking) => Buffer;
  /** Every byte that came back. */
  readonly ask: (asking: Asking) => Promise<Buffer>;
}

const RANGE = { start: 1000, end: 1999 };

const indexBytes = ({ index }: Asking): Buffer => index.bytes;
const layerBytes = ({ layer }: Asking): Buffer => layer.bytes;
const layerPath = (asking: Asking): string => `blobs/${asking.layer.digest}`;

export const WAYS: readonly Way[] = [
  { name: 'tag', opens: indexBytes, ask: (asking) => askDoor(asking, `manifests/${asking.tag}`) },
  { name: 'digest', opens: indexBytes, ask: (asking) => askDoor(asking, `manifests/${asking.index.digest}`) },
  { name: 'blob', opens: layerBytes, ask: (asking) => askDoor(asking, layerPath(asking)) },
  {
    name: 'range',
    opens: (asking) => layerBytes(asking).subarray(RANGE.start, RANGE.end + 1),
    ask: (asking) => askDoor(asking, layerPath(asking), {}, { range: `bytes=${RANGE.start}-${RANGE.end}` }),
  },
  {
    name: 'path',
    opens: layerBytes,
    ask: (asking) => askByPath(asking, asking.caller.authorization),
  },
  {
    name: 'login',
    opens: layerBytes,
    ask: async (asking) => askByPath(asking, await doorToken(asking)),
  },
  {
    name: 'invented',
    ask: (asking) => askDoor(asking, layerPath(asking), { repository: 'team/invented' }),
  },
  { name: 'other ns', ask: (asking) => askDoor(asking, layerPath(asking), { registry: OTHER }) },
  { name: 'hostile', ask: askHostile },
  { name: 'foreign', ask: askForeign },
  { name: 'peers', ask: askPeers },
  { name: 'tracker', ask: askTracker },
  { name: 'origin', ask: askOrigins },
];

async function askDoor(
  { scene, agent, caller }: Asking,
  path: string,
  place: Partial<Asked> = {},
  options: PullOptions = {},
): Promise<Buffer> {
  const asked = { ...scene.asked(REPOSITORY, caller.authorization), ...place };
  return saved(scene, (saveTo) => ask(agent.door, path, asked, { ...options, saveTo }));
}

/** As clients ask that cannot say `ns`. */
async function askByPath({ scene, agent, layer }: Asking, authorization?: string): Promise<Buffer> {
  const url = `${agent.door}/v2/${scene.registry.name}/${REPOSITORY}/blobs/${layer.digest}`;
  return saved(scene, (saveTo) => pullBlob(url, { authorization, saveTo }));
}

async function doorToken({ scene, agent, caller: { credentials } }: Asking): Promise<string> {
  const url = new URL('/shoal/v1/token', agent.door);
  url.searchParams.set('scope', `repository:${scene.registry.name}/${REPOSITORY}:pull`);
  const { head } = await pullBlob(url, { authorization: credentials && basic(credentials) });
  const { token }: { token: string } = JSON.parse(head.toString());
  return `Bearer ${token}`;
}

/** A registry of the attacker's own, which confirms everything and delivers as many other bytes. */
async function askHostile(asking: Asking): Promise<Buffer> {
  const { evil, layer } = asking;
  evil.configure({ headLies: { size: layer.bytes.length } });
  evil.content.addBlob(EVIL_REPOSITORY, deterministicBytes('other', layer.bytes.length), layer.digest);
  const place = { registry: EVIL, repository: EVIL_REPOSITORY };
  try {
    const whole = await askDoor(asking, layerPath(asking), place);
    return Buffer.concat([whole, await askDoor(asking, layerPath(asking), place, { range: 'bytes=0-999' })]);
  } finally {
    evil.configure({ headLies: undefined });
    evil.content.remove(EVIL_REPOSITORY, layer.digest);
  }
}

/** A manifest of the attacker's own that names the layer, with the victim's URL. */
async function askForeign(asking: Asking): Promise<Buffer> {
  const { scene, evil, layer } = asking;
  const config = Buffer.from('{"architecture":"amd64","os":"linux"}');
  const size = layer.bytes.length;
  const urls = [`${scene.registry.url}/v2/${REPOSITORY}/${layerPath(asking)}`];
  const manifest = {
    schemaVersion: 2,
    config: { digest: evil.content.addBlob(EVIL_REPOSITORY, config), size: config.length },
    layers: [{ mediaType: FOREIGN, digest: layer.digest, size, urls }],
  };
  evil.content.addManifest(EVIL_REPOSITORY, manifest, { tag: 'foreign' });
  const place = { registry: EVIL, repository: EVIL_REPOSITORY };
  await askDoor(asking, 'manifests/foreign', place);
  return askDoor(asking, layerPath(asking), place);
}

/** Every peer wire, by a stock client's handshake, and by a preamble without the cluster's key. */
async function askPeers({ scene: { cluster }, layer }: Asking): Promise<Buffer> {
  const swarm = verifiedSwarmId(parseDigest(layer.digest));
  const listeners = [...cluster.agents, ...cluster.origins].flatMap((part) => part.peerAddress ?? []);
  const words = [stockHandshake(swarm), forgedPreamble(swarm)];
  const answers = listeners.flatMap((address) => words.map((say) => answerTo(address, say)));
  return Buffer.concat(await Promise.all(answers));
}

async function askTracker({ scene: { cluster }, layer }: Asking): Promise<Buffer> {
  const swarm = verifiedSwarmId(parseDigest(layer.digest)).toString('hex');
  const body = JSON.stringify({ swarms: [swarm], peerId: '00'.repeat(20) });
  const say = httpRequest('POST', '/v1/replicas', { 'content-type': 'application/json' }, body);
  return knock(cluster.tracker.httpAddress, say);
}

async function askOrigins({ scene: { cluster, registry }, caller, layer }: Asking): Promise<Buffer> {
  const headers = caller.authorization === undefined ? {} : { 'shoal-authorization': caller.authorization };
  const path = `/v2/${REPOSITORY}/blobs/${layer.digest}?ns=${registry.name}`;
  const say = httpRequest('GET', path, headers);
  return Buffer.concat(await Promise.all(cluster.origins.map((origin) => knock(origin.httpAddress, say))));
}

/** In the clear, and by TLS without the cluster's key. */
async function knock(address: string, say: Buffer): Promise<Buffer> {
  return Buffer.concat(await Promise.all([answerTo(address, say), answerTo(address, say, true)]));
}

async function saved(scene: Scene, pull: (saveTo: string) => Promise<unknown>): Promise<Buffer> {
  const saveTo = `${scene.directory}/answer-${randomUUID()}`;
  await pull(saveTo);
  return readFile(saveTo).catch(() => Buffer.alloc(0));
}
