import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { succeedsOrThrows } from './outcome.ts';
import { CredentialsError, parseDockerConfig, readDockerConfig } from '#registry/credentials.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const config = (auths: unknown): string => JSON.stringify({ auths });

describe('a docker configuration', () => {
  test('gives each registry its credential, by whatever name docker keeps it', () => {
    const credentials = parseDockerConfig(
      config({
        'https://index.docker.io/v1/': { auth: base64('hub:p:w') },
        'ghcr.io': { username: 'u', password: 'p' },
        'http://localhost:5000/v2/': { auth: base64('l:p\0\0') },
        'ACR.example': { auth: base64('00000000:'), identitytoken: 'refresh' },
        'quay.io/org': { auth: base64('path:p') },
        'helper.example': {},
      }),
    );
    expect(credentials.lookup('docker.io')).toEqual({ kind: 'password', username: 'hub', password: 'p:w' });
    expect(credentials.lookup('ghcr.io')).toEqual({ kind: 'password', username: 'u', password: 'p' });
    expect(credentials.lookup('localhost:5000')).toEqual({ kind: 'password', username: 'l', password: 'p' });
    expect(credentials.lookup('acr.example')).toEqual({ kind: 'identity-token', token: 'refresh' });
    expect(credentials.lookup('quay.io')).toBeUndefined();
    expect(credentials.lookup('helper.example')).toBeUndefined();
    expect(credentials.lookup('constructor')).toBeUndefined();
  });

  test.each([
    ['not JSON', '{"auths": {"x": "hunter2'],
    ['no object', '7'],
    ['auths no object', config([])],
    ['an entry no object', config({ 'a.b': 'hunter2' })],
    ['auth not base64 of a pair', config({ 'a.b': { auth: base64('hunter2') } })],
    ['auth no string', config({ 'a.b': { auth: 7 } })],
  ])('with %s is refused without showing a secret', (_, text) => {
    expect(() => parseDockerConfig(text)).toThrow(CredentialsError);
    expect(() => parseDockerConfig(text)).not.toThrow('hunter2');
  });

  test('of any text is read or refused with its own error', () => {
    const texts = fc.oneof(fc.string(), fc.json(), fc.dictionary(fc.string(), fc.jsonValue()).map(config));
    fc.assert(
      fc.property(texts, (text) => {
        expect(succeedsOrThrows(() => parseDockerConfig(text), CredentialsError)).toBe(true);
      }),
    );
  });

  test('is read from its file; a missing or oversized one is named', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'shoal-credentials-'));
    try {
      const path = join(folder, 'config.json');
      await expect(readDockerConfig(path)).rejects.toThrow(path);
      await writeFile(path, config({ 'a.b': { auth: base64('n:p') } }));
      expect((await readDockerConfig(path)).lookup('a.b')).toEqual({
        kind: 'password',
        username: 'n',
        password: 'p',
      });
      await writeFile(path, ' '.repeat(1024 * 1024 + 1));
      await expect(readDockerConfig(path)).rejects.toThrow('at most');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
