import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { request } from 'undici';
import { expect, test } from 'vitest';
import { StrangerRepositories } from '#origin/stranger-repositories.ts';
import { clusterDispatcher } from '#service/http-client.ts';
import { parseTorrent } from '#swarm/hashes/torrent-file.ts';
import { deterministicBytes, sha256Hex } from '../../support/bytes.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { addBlob, MIB, OriginFixture, until } from './origin-fixture.ts';
import { withKeys } from '../../support/with-keys.ts';

test('the .torrent of a blob is the same from every origin that holds it, and none without the switch', async () => {
  await using fixture = await OriginFixture.start({
    settings: { strangers: true, strangerRepositories: ['*'] },
  });
  const blob = deterministicBytes('torrent', 2 * MIB + 5);
  const digest = addBlob(fixture.upstream, blob);
  const path = `/torrents/${digest}.torrent`;
  expect((await fixture.get(0, path)).status).toBe(404);
  const [owner = 0] = fixture.order(digest);
  await fixture.describe(owner, digest);
  await until('the blob is stored', async () => (await fixture.describe(owner, digest)).scope === 'verified');
  const told = await fixture.get(owner, `${path}?tracker=${encodeURIComponent('http://t.example/announce')}`);
  const torrent = parseTorrent(told.body);
  expect(torrent).toMatchObject({ digest, size: blob.length, trackers: ['http://t.example/announce'] });
  expect(torrent.pieces.length).toBe(9 * 20);
  expect(parseTorrent((await fixture.get(owner, path)).body).infoHash).toEqual(torrent.infoHash);
  expect((await fixture.get(owner, '/torrents/nonsense.torrent')).status).toBe(400);
  await using closed = await OriginFixture.start({ origins: 1 });
  expect((await closed.get(0, path)).status).toBe(404);
});

test('with a cluster key strangers get .torrent files in the clear, and nothing else', async () => {
  await using directory = await temporaryDirectory('key');
  const key = randomBytes(32);
  const clusterKeyFile = directory.join('cluster.key');
  await writeFile(clusterKeyFile, key.toString('base64'));
  await using fixture = await OriginFixture.start({
    origins: 1,
    settings: { strangers: true, strangerRepositories: ['*'], security: 'cluster-key', clusterKeyFile },
    peerPorts: true,
  });
  const blob = deterministicBytes('in the clear', 100_000);
  const digest = addBlob(fixture.upstream, blob);
  const { address } = fixture.origin(0);
  const dispatcher = clusterDispatcher(withKeys(key));
  const path = `/v2/team/app/blobs/${digest}?ns=${fixture.upstream.host}`;
  try {
    const member = await request(`https://${address}${path}`, { dispatcher });
    expect(member.statusCode).toBe(200);
    expect(sha256Hex(Buffer.from(await member.body.arrayBuffer()))).toBe(digest.slice('sha256:'.length));
    expect((await fixture.get(0, path)).status).toBe(404);
    expect(parseTorrent((await fixture.get(0, `/torrents/${digest}.torrent`)).body).digest).toBe(digest);
    const silent = connect(Number(address.split(':')[1]), '127.0.0.1');
    await new Promise((resolve) => silent.once('connect', resolve));
    const closed = new Promise((resolve) => silent.once('close', resolve));
    await fixture.stopOrigin(0);
    await closed;
  } finally {
    await dispatcher.destroy();
  }
});

test('a blob that is in no repository for everybody has no .torrent, whoever knows its digest', async () => {
  const settings = { strangers: true, strangerRepositories: ['*/public/*'] };
  await using fixture = await OriginFixture.start({ origins: 1, settings });
  const digest = addBlob(fixture.upstream, deterministicBytes('not for all', 2 * MIB));
  await fixture.describe(0, digest);
  await until('the blob is stored', async () => (await fixture.describe(0, digest)).scope === 'verified');
  expect((await fixture.get(0, `/torrents/${digest}.torrent`)).status).toBe(404);
});

test.each([
  [['ghcr.io/org/app'], ['ghcr.io/org/app'], true],
  [['ghcr.io/org/app'], ['ghcr.io/org/apps'], false],
  [['ghcr.io/org/*'], ['ghcr.io/org/app/deep'], true],
  [['ghcr.io/org/*'], ['ghcrxio/org/app'], false],
  [['*/public/*'], ['r.example:5000/private/a', 'r.example:5000/public/a'], true],
  [['*'], [], false],
  [[], ['ghcr.io/org/app'], false],
  [['ghcr.io/my-org/*'], ['ghcr.io/my-org/app'], true],
  [['localhost:5000/*'], ['localhost:5000/app'], true],
  [['[fd00::1]:5000/My.Org/*'], ['[fd00::1]:5000/My.Org/app'], true],
  [['[fd00::1]:5000/My.Org/*'], ['f:5000/My.Org/app'], false],
])('%j admits %j: %s', (globs, repositories, admitted) => {
  const registries = repositories.map((name) => name.split('/')[0]!);
  expect(new StrangerRepositories(globs).admit({ registries, repositories })).toBe(admitted);
});

test('a registry that never had the bytes opens nobody’s blob by what it says of its own repositories', () => {
  const repositories = ['registry.example/team/private', 'evil.example/public/x'];
  const admitted = (...registries: string[]): boolean =>
    new StrangerRepositories(['*/public/*']).admit({ registries, repositories });
  expect(admitted('registry.example')).toBe(false);
  expect(admitted('registry.example', 'evil.example')).toBe(true);
});
