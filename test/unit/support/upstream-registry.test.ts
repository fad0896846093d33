import { describe, expect, test } from 'vitest';
import { makeImage } from '../../../demo/image.ts';
import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { deterministicBytes, digestOf, sha256Hex } from '../../support/bytes.ts';
import { pullBlob } from '../../../demo/pull-blob.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const BLOB = deterministicBytes('blob', 500_000);
const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';

describe('pulling from the upstream registry', () => {
  test('a whole image by tag: index, manifest, config and layers, each byte counted once', async () => {
    await using dir = await temporaryDirectory();
    const image = await makeImage({ dir: dir.path, layers: [200_000, 70_000] });
    await using registry = await UpstreamRegistry.start();
    await registry.addImage('team/app', 'v1', image);
    const base = `${registry.url}/v2/team/app`;
    const index = await pullBlob(`${base}/manifests/v1`, { headers: { accept: OCI_INDEX } });
    expect(index.headers['content-type']).toBe(OCI_INDEX);
    expect(index.headers['docker-content-digest']).toBe(image.index.digest);
    const { manifest, config, layers } = image.amd64;
    expect((await pullBlob(`${base}/manifests/${manifest.digest}`)).sha256).toBe(manifest.digest.slice(7));
    for (const { digest } of [config, ...layers]) {
      expect(await pullBlob(`${base}/blobs/${digest}`)).toMatchObject({
        sha256: digest.slice(7),
        complete: true,
      });
    }
    const counted = [...registry.log.bodyBytesByDigest().values()].reduce((total, bytes) => total + bytes, 0);
    expect(counted).toBe(image.totalBytes);
    expect(registry.log.bodyBytesByDigest().get(layers[1]!.digest)).toBe(layers[1]!.size);
  });

  test('HEAD has the headers of GET, no body, and is counted apart', async () => {
    await using registry = await UpstreamRegistry.start();
    const digest = registry.content.addBlob('app', BLOB);
    const pulled = await pullBlob(`${registry.url}/v2/app/blobs/${digest}`, { method: 'HEAD' });
    expect(pulled).toMatchObject({ status: 200, bytes: 0, complete: true });
    expect(pulled.headers).toMatchObject({ 'content-length': '500000', 'docker-content-digest': digest });
    expect([registry.log.heads, registry.log.gets, registry.log.bodyBytes]).toEqual([1, 0, 0]);
  });

  test.each([
    ['bytes=0-99', 206, 0, 100],
    ['bytes=499900-', 206, 499_900, 500_000],
    ['bytes=-100', 206, 499_900, 500_000],
    ['bytes=100-9999999', 206, 100, 500_000],
    ['bytes=0-1,5-6', 200, 0, 500_000],
    ['bytes=9-5', 200, 0, 500_000],
  ])('range %s', async (range, status, from, to) => {
    await using registry = await UpstreamRegistry.start();
    const digest = registry.content.addBlob('app', BLOB);
    const pulled = await pullBlob(`${registry.url}/v2/app/blobs/${digest}`, { range });
    expect(pulled).toMatchObject({ status, sha256: sha256Hex(BLOB.subarray(from, to)), complete: true });
    expect(pulled.headers['content-range']).toBe(
      status === 206 ? `bytes ${from}-${to - 1}/500000` : undefined,
    );
    expect(registry.log.bodyBytesByDigest().get(digest)).toBe(to - from);
  });

  test('a range behind the end is 416 and tells the size', async () => {
    await using registry = await UpstreamRegistry.start();
    const digest = registry.content.addBlob('app', BLOB);
    const pulled = await pullBlob(`${registry.url}/v2/app/blobs/${digest}`, { range: 'bytes=500000-' });
    expect(pulled.status).toBe(416);
    expect(pulled.headers['content-range']).toBe('bytes */500000');
  });

  test('what is not there is 404 in the OCI format, also when another repository has it', async () => {
    await using registry = await UpstreamRegistry.start();
    const digest = registry.content.addBlob('one', BLOB);
    registry.content.addBlob('two', Buffer.from('x'));
    const codes = ['two/blobs/' + digest, 'two/manifests/v1', 'three/manifests/v1', 'one/nonsense'].map(
      async (path) => {
        const { status, head } = await pullBlob(`${registry.url}/v2/${path}`);
        return [status, /"code":"([A-Z_]+)"/.exec(head.toString())?.[1]];
      },
    );
    expect(await Promise.all(codes)).toEqual([
      [404, 'BLOB_UNKNOWN'],
      [404, 'MANIFEST_UNKNOWN'],
      [404, 'NAME_UNKNOWN'],
      [404, 'UNSUPPORTED'],
    ]);
  });

  test('an index is not given by tag to a client that does not accept one', async () => {
    await using registry = await UpstreamRegistry.start();
    const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] };
    registry.content.addManifest('app', index, { tag: 'v1' });
    const url = `${registry.url}/v2/app/manifests/v1`;
    const plain = { accept: 'application/vnd.oci.image.manifest.v1+json' };
    expect((await pullBlob(url, { headers: plain })).status).toBe(404);
    expect((await pullBlob(url, { headers: { accept: `${plain.accept}, ${OCI_INDEX};q=0.9` } })).status).toBe(
      200,
    );
  });

  test('a tag moves, and an unmoved manifest is 304', async () => {
    await using registry = await UpstreamRegistry.start();
    const first = registry.content.addManifest('app', { schemaVersion: 2, layers: [] }, { tag: 'v1' });
    const url = `${registry.url}/v2/app/manifests/v1`;
    const headers = { 'if-none-match': `"${first}"` };
    expect((await pullBlob(url, { headers })).status).toBe(304);
    const second = registry.content.addManifest('app', { schemaVersion: 2, layers: [1] }, { tag: 'v1' });
    expect((await pullBlob(url, { headers })).headers['docker-content-digest']).toBe(second);
  });

  test('tags come sorted, by pages', async () => {
    await using registry = await UpstreamRegistry.start();
    for (const tag of ['c', 'a', 'b']) registry.content.setTag('app', tag, digestOf(tag));
    const first = await pullBlob(`${registry.url}/v2/app/tags/list?n=2`);
    expect(JSON.parse(first.head.toString())).toEqual({ name: 'app', tags: ['a', 'b'] });
    const next = /<(.+)>; rel="next"/.exec(String(first.headers['link']))?.[1];
    const second = await pullBlob(`${registry.url}${next}`);
    expect(JSON.parse(second.head.toString())).toEqual({ name: 'app', tags: ['c'] });
    expect(second.headers['link']).toBeUndefined();
  });

  test('referrers of a manifest, filtered by type', async () => {
    await using registry = await UpstreamRegistry.start();
    const subject = registry.content.addManifest('app', { schemaVersion: 2 }, { tag: 'v1' });
    const about = (artifactType: string): string =>
      registry.content.addManifest('app', { schemaVersion: 2, artifactType, subject: { digest: subject } });
    const [signature, sbom] = [about('text/signature'), about('text/sbom')];
    const digests = async (query: string): Promise<string[]> => {
      const { head } = await pullBlob(`${registry.url}/v2/app/referrers/${subject}${query}`);
      const { manifests }: { manifests: { digest: string }[] } = JSON.parse(head.toString());
      return manifests.map((manifest) => manifest.digest);
    };
    expect(await digests('')).toEqual([signature, sbom]);
    expect(await digests('?artifactType=text/sbom')).toEqual([sbom]);
  });
});

describe('a redirecting registry', () => {
  test('sends blobs from another origin against a signed link, ranges included', async () => {
    await using registry = await UpstreamRegistry.start({ redirectBlobs: true });
    const digest = registry.content.addBlob('app', BLOB);
    const url = `${registry.url}/v2/app/blobs/${digest}`;
    const pulled = await pullBlob(url, { authorization: 'Bearer x', range: 'bytes=10-' });
    expect(pulled).toMatchObject({ status: 206, redirects: 1, sha256: sha256Hex(BLOB.subarray(10)) });
    expect(registry.log.entries.map((entry) => [entry.part, entry.status, entry.authorization])).toEqual([
      ['registry', 307, 'bearer'],
      ['store', 206, 'none'],
    ]);
    expect(registry.leakedAuthorizations).toBe(0);
  });

  test('notices an Authorization that came along, and a forged link', async () => {
    await using registry = await UpstreamRegistry.start({ redirectBlobs: true });
    const digest = registry.content.addBlob('app', BLOB);
    const probe = new AbortController();
    const { headers } = await fetch(`${registry.url}/v2/app/blobs/${digest}`, {
      redirect: 'manual',
      signal: probe.signal,
    });
    const link = headers.get('location')!;
    expect(new URL(link).origin).toBe(registry.storeUrl);
    expect((await pullBlob(link)).status).toBe(200);
    expect((await pullBlob(link, { authorization: 'Bearer x' })).status).toBe(400);
    expect(registry.leakedAuthorizations).toBe(1);
    expect((await pullBlob(link.replace('expires=1', 'expires=9'))).status).toBe(403);
  });
});

describe('a registry that goes away', () => {
  test('cuts what runs, refuses what comes, and is back on the same port with all it had', async () => {
    await using registry = await UpstreamRegistry.start({ bytesPerSecond: 500_000 });
    const digest = registry.content.addBlob('app', BLOB);
    const url = `${registry.url}/v2/app/blobs/${digest}`;
    const first = Promise.withResolvers<void>();
    const running = pullBlob(url, { onBytes: () => first.resolve() });
    await first.promise;
    await registry.stop();
    const cut = await running;
    expect(cut.complete).toBe(false);
    expect(cut.bytes).toBeLessThan(BLOB.length);
    await expect(pullBlob(url)).rejects.toThrow('ECONNREFUSED');
    expect(registry.log.entries[0]).toMatchObject({ done: true, cut: true, status: 200 });
    await registry.start();
    registry.configure({ bytesPerSecond: undefined });
    expect(await pullBlob(url)).toMatchObject({ sha256: sha256Hex(BLOB), complete: true });
  });

  test('counts what it sent, not what was asked for, when the client hangs up', async () => {
    await using registry = await UpstreamRegistry.start({ bytesPerSecond: 400_000 });
    const digest = registry.content.addBlob('app', BLOB);
    const pulled = await pullBlob(`${registry.url}/v2/app/blobs/${digest}`, { hangUpAfter: 50_000 });
    await expect.poll(() => registry.log.running).toHaveLength(0);
    const sent = registry.log.bodyBytesByDigest().get(digest)!;
    expect(sent).toBeGreaterThanOrEqual(pulled.bytes);
    expect(sent).toBeLessThan(BLOB.length / 2);
    expect(registry.log.entries[0]!.cut).toBe(true);
  });
});
