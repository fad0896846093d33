import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary-directory.ts';
import { startContainerd, writeHostsDir } from './containerd.ts';
import { pushImage, type PushedImage } from './images.ts';
import { startLink } from './link.ts';
import { startRegistry, type Registry } from './registry.ts';
import { copyBySkopeo, podmanIn } from './stock-runtimes.ts';
import { startTokenIssuer, type TokenIssuer } from './token-issuer.ts';
import { mustSucceed } from './program.ts';

/*
 * No Shoal here: the registry, the token issuer and the runtimes by themselves do what the other tests take for
 * granted. When one of these fails, the machine is at fault.
 */

const ALICE = { user: 'alice', password: 'right' };
const MALLORY = { user: 'alice', password: 'wrong' };
const LAYER_BYTES = 6_000_000;

let directory: TemporaryDirectory;
let issuer: TokenIssuer;
let registry: Registry;
let pushed: PushedImage;

beforeAll(async () => {
  directory = await temporaryDirectory('baseline');
  const rights = ['base/app'];
  const users = { alice: { password: ALICE.password, pull: rights, push: rights } };
  issuer = await startTokenIssuer({ directory: directory.path, users });
  const auth = { kind: 'token', trust: issuer.trust } as const;
  registry = await startRegistry({
    directory: directory.path,
    address: '127.77.0.2',
    port: 443,
    tls: true,
    auth,
  });
  pushed = await pushImage(registry, {
    directory: directory.path,
    repository: 'base/app',
    layers: [LAYER_BYTES],
    credentials: ALICE,
  });
});
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  await issuer?.[Symbol.asyncDispose]();
  await directory?.[Symbol.asyncDispose]();
});

test('containerd pulls by token, unpacks and runs the image; with a wrong password it gets nothing', async () => {
  await using containerd = await startContainerd(directory.join('containerd'));
  const hostsDir = await writeHostsDir(directory.join('hosts'), registry);
  expect(await containerd.pull(pushed.reference, { hostsDir, credentials: MALLORY })).toMatchObject({
    code: 1,
  });
  expect(await containerd.content()).toEqual(new Map());
  mustSucceed(await containerd.pull(pushed.reference, { hostsDir, credentials: ALICE }));
  const { index, amd64 } = pushed.image;
  const digests = [index, amd64.manifest, amd64.config, ...amd64.layers].map(({ digest }) => digest);
  expect([...(await containerd.content()).values()].sort()).toEqual([...digests].sort());
  expect([...(await containerd.files(pushed.reference)).keys()]).toContain('/hello');
  const ran = await containerd.runImage(pushed.reference);
  expect(ran).toMatchObject({ code: 0, stdout: expect.stringContaining('Hello') });
});

test('skopeo and podman pull by token', async () => {
  expect(await copyBySkopeo(pushed.reference, directory.join('no'))).toMatchObject({ code: 1 });
  const copied = await copyBySkopeo(pushed.reference, directory.join('skopeo'), { credentials: ALICE });
  mustSucceed(copied);
  const podman = podmanIn(directory.join('podman'));
  mustSucceed(await podman.pull(pushed.reference, { credentials: ALICE }));
  expect([...(await podman.files(pushed.reference)).keys()]).toContain('/hello');
});

test("the registry's access log counts the body bytes of each blob", async () => {
  const before = registry.blobBytes();
  await copyBySkopeo(pushed.reference, directory.join('counted'), { credentials: ALICE });
  const layer = pushed.image.layers.find(({ size }) => size >= LAYER_BYTES);
  const { digest = '', size } = layer ?? {};
  expect((registry.blobBytes().get(digest) ?? 0) - (before.get(digest) ?? 0)).toBe(size);
});

test('a link is as slow as it is told, and a pull over it ends when it breaks', async () => {
  await using link = await startLink({ to: registry, bytesPerSecond: LAYER_BYTES });
  const source = `127.0.0.1:${link.port}/base/app:v1`;
  const began = performance.now();
  const slow = await copyBySkopeo(source, join(directory.path, 'slow'), { credentials: ALICE });
  expect(slow).toMatchObject({ code: 0, stderr: '' });
  expect(performance.now() - began).toBeGreaterThan(900);
  expect(link.bytes).toBeGreaterThan(LAYER_BYTES);
  await link.break();
  expect(await copyBySkopeo(source, join(directory.path, 'broken'), { credentials: ALICE })).toMatchObject({
    code: 1,
  });
  await link.mend();
  link.rate = undefined;
  mustSucceed(await copyBySkopeo(source, join(directory.path, 'mended'), { credentials: ALICE }));
});
