import * as fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

import { loadSecurity, type Security } from '#service/identity.ts';
import {
  expectOwnSigningKey,
  generateClusterKey,
  generateSigningKey,
  loadSigningKey,
  parsePublicKeys,
} from '#service/signing.ts';

import { temporaryDirectory } from '../../support/temporary-directory.ts';

function load(clusterKeyFile: string): Security {
  return loadSecurity({ security: 'cluster-key', clusterKeyFile });
}

function keysOf(security: Security): readonly Buffer[] {
  return security.mode === 'cluster-key' ? security.keys() : [];
}

test('a cluster key is read as base64 and as hexadecimal, and two of them while they are rotated', async () => {
  await using dir = await temporaryDirectory();
  const [key, next] = [randomBytes(32), randomBytes(32)];
  await writeFile(dir.join('a'), `${key.toString('base64')}\n`);
  await writeFile(dir.join('b'), key.toString('hex').toUpperCase());
  await writeFile(dir.join('c'), `${key.toString('base64')}\r\n${next.toString('hex')}\n`);
  expect(keysOf(load(dir.join('a')))).toEqual([key]);
  expect(keysOf(load(dir.join('b')))).toEqual([key]);
  expect(keysOf(load(dir.join('c')))).toEqual([key, next]);
});

test('a generated cluster key can be loaded', async () => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.join('key'), generateClusterKey());
  expect(keysOf(load(dir.join('key')))).toHaveLength(1);
});

test('a malformed cluster key stops the start, and the message does not show it', async () => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.join('key'), 'c2hvcnQgc2VjcmV0');
  await writeFile(dir.join('three'), Array(3).fill(generateClusterKey()).join('\n'));
  await writeFile(dir.join('empty'), '\n');
  expect(() => load(dir.join('key'))).toThrow(/key in .*\/key is malformed: 32 bytes/);
  expect(() => load(dir.join('key'))).not.toThrow(/c2hvcnQ/);
  expect(() => load(dir.join('three'))).toThrow(/two such keys/);
  expect(() => load(dir.join('empty'))).toThrow(/is malformed/);
  expect(() => load(dir.join('none'))).toThrow(/cannot read the cluster key .*\/none/);
  expect(() => loadSecurity({ security: 'cluster-key' })).toThrow(/clusterKeyFile/);
});

test('a signing key is the same from PEM and from its seed', async () => {
  await using dir = await temporaryDirectory();
  const key = generateSigningKey();
  const der = key.privateKey.export({ format: 'der', type: 'pkcs8' });
  await writeFile(dir.join('pem'), key.privateKey.export({ format: 'pem', type: 'pkcs8' }));
  await writeFile(dir.join('seed'), der.subarray(-32).toString('base64'));
  expect(loadSigningKey(dir.join('pem')).publicKey).toEqual(key.publicKey);
  expect(loadSigningKey(dir.join('seed')).publicKey).toEqual(key.publicKey);
});

test('an origin that is to sign with the cluster key is refused, and the message does not show it', async () => {
  await using dir = await temporaryDirectory();
  const seed = generateClusterKey();
  await writeFile(dir.join('cluster.key'), `${seed}\n`);
  const security = loadSecurity({ security: 'cluster-key', clusterKeyFile: dir.join('cluster.key') });
  const signing = loadSigningKey(dir.join('cluster.key'));
  const check = (): void => expectOwnSigningKey(signing, dir.join('cluster.key'), security);
  expect(check).toThrow(/signing key in .*cluster\.key is the cluster key.*signingKeyFile/u);
  expect(check).not.toThrow(seed);
  expectOwnSigningKey(generateSigningKey(), 'own.pem', security);
  expectOwnSigningKey(signing, 'any', { mode: 'off' });
});

test('what one origin signed is believed by its public key alone', () => {
  const [own, other] = [generateSigningKey(), generateSigningKey()];
  const [trusted] = parsePublicKeys([own.publicKey.toString('base64')]);
  const message = randomBytes(100);
  expect(trusted?.verify(message, own.sign(message))).toBe(true);
  expect(trusted?.verify(message, other.sign(message))).toBe(false);
  expect(trusted?.verify(randomBytes(100), own.sign(message))).toBe(false);
});

test('a signing key of another kind is refused', async () => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.join('key'), '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n');
  expect(() => loadSigningKey(dir.join('key'))).toThrow(/an Ed25519 private key is expected/);
});

test('any text that is no public key is refused with the entry named', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      fc.pre(!/^[A-Za-z0-9+/]{43}=$/.test(text));
      expect(() => parsePublicKeys([text])).toThrow(/is no origin key: 32 bytes as base64/);
    }),
  );
});
