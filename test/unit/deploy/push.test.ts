import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';

import type { Credential } from '#registry/credentials.ts';
import { digestOf } from '#registry/digest.ts';
import { Hosts } from '#registry/hosts.ts';

import { descriptor, MEDIA_TYPES, writeBlob, writeLayer, writeTop } from '../../../demo/oci-layout.ts';
import { Pusher } from '../../../deploy/image/push.ts';
import { textEntry } from '../../../deploy/image/tree.ts';
import { freePort } from '../../../demo/free-port.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../../support/temporary-directory.ts';

const LOGIN: Credential = { kind: 'password', username: 'ci', password: 'secret' };
const AUTHORIZATION = `Basic ${Buffer.from('ci:secret').toString('base64')}`;

/** The push side of OCI distribution, in memory, behind Basic. */
class PushRegistry {
  readonly blobs = new Map<string, Buffer>();
  readonly manifests = new Map<string, Buffer>();
  readonly uploads: string[] = [];
  readonly server = createServer((request, response) => void this.#answer(request, response));

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    const end = (status: number, headers: Record<string, string> = {}): void =>
      void response.writeHead(status, headers).end();
    if (request.headers.authorization !== AUTHORIZATION)
      return end(401, { 'www-authenticate': 'Basic realm="r"' });
    const url = new URL(request.url ?? '', 'http://r');
    const [, kind, name = ''] = /^\/v2\/team\/shoal\/(blobs|manifests)\/(.+)$/.exec(url.pathname) ?? [];
    if (request.method === 'HEAD') return end(this.blobs.has(name) ? 200 : 404);
    if (request.method === 'POST') return end(202, { location: '/v2/team/shoal/blobs/uploads/7?state=x' });
    if (kind === 'manifests') this.manifests.set(name, body);
    else {
      const digest = url.searchParams.get('digest') ?? '';
      if (digestOf(body) !== digest || url.searchParams.get('state') !== 'x') return end(400);
      this.uploads.push(digest);
      this.blobs.set(digest, body);
    }
    end(201);
  }
}

let dir: TemporaryDirectory;
let registry: PushRegistry;
let host: string;

beforeEach(async () => {
  dir = await temporaryDirectory('push');
  registry = new PushRegistry();
  const port = await freePort();
  registry.server.listen(port, '127.0.0.1');
  await once(registry.server, 'listening');
  host = `127.0.0.1:${port}`;
});
afterEach(async () => {
  registry.server.close();
  await dir[Symbol.asyncDispose]();
});

/** An index of one manifest of one layer. */
async function makeLayout(): Promise<{ index: string; manifest: string; layer: string; config: string }> {
  await mkdir(dir.join('blobs/sha256'), { recursive: true });
  const layer = await writeLayer(dir.path, [textEntry('hello', 'world')], { compression: 'gzip', level: 6 });
  const config = await writeBlob(dir.path, MEDIA_TYPES.config, { os: 'linux' });
  const parts = { config: descriptor(config), layers: [descriptor(layer)] };
  const manifest = await writeBlob(dir.path, MEDIA_TYPES.manifest, parts);
  const index = await writeBlob(dir.path, MEDIA_TYPES.index, { manifests: [descriptor(manifest)] });
  await writeTop(dir.path, index, {});
  return { index: index.digest, manifest: manifest.digest, layer: layer.digest, config: config.digest };
}

async function push(credential?: Credential): Promise<void> {
  await using hosts = new Hosts({ [host]: { endpoint: `http://${host}`, plainHttp: true } });
  const signal = AbortSignal.timeout(30_000);
  const pusher = new Pusher({ registry: host, repository: 'team/shoal' }, { hosts, credential, signal });
  await pusher.push(dir.path, '1.0');
}

test('an image is pushed whole, under its tag, after a login', async () => {
  const { index, manifest, layer, config } = await makeLayout();
  await push(LOGIN);
  expect([...registry.blobs.keys()]).toEqual([config, layer]);
  expect([...registry.manifests.keys()]).toEqual([manifest, '1.0']);
  expect(digestOf(registry.manifests.get('1.0')!)).toBe(index);
});

test('what the registry has already is not sent again', async () => {
  await makeLayout();
  await push(LOGIN);
  await push(LOGIN);
  expect(registry.uploads).toHaveLength(2);
});

test('a registry that refuses is named, without the password', async () => {
  await makeLayout();
  await expect(push()).rejects.toThrow(/401 instead of 202/);
  await expect(push({ ...LOGIN, password: 'wrong' })).rejects.not.toThrow(/wrong/);
  expect(registry.manifests.size).toBe(0);
});
