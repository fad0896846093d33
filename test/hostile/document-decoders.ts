import { existsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseDoorRequest } from '#agent/door/request.ts';
import { parseOriginRequest } from '#origin/routes/request.ts';
import { bearerChallenge, parseChallenges } from '#registry/challenge.ts';
import { parseDockerConfig } from '#registry/credentials.ts';
import { parseManifest } from '#registry/image-manifest.ts';
import { detectManifestType } from '#registry/media-types.ts';
import { parseOciErrors } from '#registry/oci-error.ts';
import { parseContentRange, parseRange } from '#registry/range.ts';
import { parseReference } from '#registry/reference.ts';
import { loadConfig } from '#service/config/load.ts';
import type { TakenPorts } from '#service/config/ports.ts';
import { parseDuration, parseRate, parseSize } from '#service/config/units.ts';
import type { Decoder } from './decoder.ts';

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;
const JSON_WORDS = ['{', '}', '[', ']', ',', '":', 'null', '-1', '1e999', '"mediaType":', '['.repeat(200)];
const descriptor = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: DIGEST, size: 3 };
const text = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
/** In memory, where there is such a place: it is written once for each input. */
const PLACE = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const FILE = join(PLACE, `shoal-hostile-${process.pid}.yaml`);
const takenPorts = (): TakenPorts => ({ ephemeral: [32_768, 60_999], reserved: [] });

/** What clients, registries and operators write. */
export const DOCUMENT_DECODERS: Readonly<Record<string, Decoder>> = {
  reference: {
    decode: (input) => void parseReference(input.toString()),
    refusals: ['ReferenceError'],
    samples: [
      Buffer.from('registry.example:5000/team/app:v1'),
      Buffer.from(`[::1]:5000/app@${DIGEST}`),
      Buffer.from('alpine'),
    ],
    words: ['/', ':', '@', '.', '__', '--', '[', ']', 'localhost', 'sha512:', 'a'.repeat(256)],
  },
  'door request': {
    decode: (input) => void parseDoorRequest(input.toString('latin1'), undefined),
    refusals: ['OciError'],
    samples: [
      Buffer.from(`/v2/team/app/blobs/${DIGEST}?ns=r.example`),
      Buffer.from('/v2/r.example:5000/team/app/manifests/latest'),
      Buffer.from('/v2/app/tags/list?n=5&last=x'),
    ],
    words: ['/v2/', '/blobs/', '/manifests/', '%2f', '%00', '%', '..', '?ns=', '&ns=', '//', ':'],
  },
  'origin request': {
    decode: (input) => void parseOriginRequest(input.toString('latin1'), {}),
    refusals: ['OciError'],
    samples: [
      Buffer.from(`/v2/team/app/blobs/${DIGEST}?ns=r.example`),
      Buffer.from('/v2/team/app/manifests/v1?ns=r.example'),
    ],
    words: ['/v2/', '/blobs/', '%2f', '%00', '%', '?ns=', '&ns=', 'ns=[::1]'],
  },
  range: {
    decode(input, random) {
      const header = input.toString('latin1');
      if (random(2) === 0) parseRange(header, random(2 ** 31));
      else parseContentRange(header);
    },
    refusals: ['ContentRangeError'],
    samples: [
      Buffer.from('bytes=0-99'),
      Buffer.from('bytes=-5'),
      Buffer.from('bytes 0-9/10'),
      Buffer.from('bytes */9'),
    ],
    words: ['bytes', '=', '-', ',', ' ', '*/', '9'.repeat(40), '0x1', '1e3'],
  },
  manifest: {
    decode(input, random) {
      if (random(2) === 0) detectManifestType(input);
      else parseManifest(input);
    },
    refusals: ['ManifestError'],
    samples: [
      text({ schemaVersion: 2, config: descriptor, layers: [descriptor] }),
      text({
        schemaVersion: 2,
        manifests: [{ ...descriptor, platform: { os: 'linux', architecture: 'amd64' } }],
      }),
    ],
    words: [...JSON_WORDS, '"manifests":', '"layers":', '"config":{}', '"platform":[]'],
  },
  'registry errors': {
    decode: (input) => void parseOciErrors(input),
    refusals: [],
    samples: [text({ errors: [{ code: 'DENIED', message: 'no', detail: { a: 1 } }] })],
    words: JSON_WORDS,
  },
  challenge: {
    decode: (input) => void bearerChallenge(parseChallenges(input.toString('latin1'))),
    refusals: ['ChallengeError'],
    samples: [
      Buffer.from('Bearer realm="https://r.example/token",service="r",scope="repository:a:pull"'),
      Buffer.from('Basic realm="x", Bearer realm="http://y/", Negotiate abc=='),
    ],
    words: ['Bearer ', ',', '"', '\\', '=', ' = ', 'realm=', '\\"'.repeat(20), ', '.repeat(50)],
  },
  'docker config': {
    decode: (input) => void parseDockerConfig(input.toString()),
    refusals: ['CredentialsError'],
    samples: [
      text({
        auths: { 'r.example': { auth: 'YTpi' }, 'https://index.docker.io/v1/': { identitytoken: 'x' } },
      }),
    ],
    words: [...JSON_WORDS, '"auths":', '"auth":', '"username":', '"__proto__":'],
  },
  units: {
    decode(input, random) {
      const parse = [parseSize, parseRate, parseDuration][random(3)];
      parse?.(input.toString());
    },
    refusals: ['UnitError'],
    samples: [Buffer.from('10GiB'), Buffer.from('200MB/s'), Buffer.from('90s'), Buffer.from('500ms')],
    words: ['.', 'e9', '-', 'KiB', '/s', '9'.repeat(400), '0x'],
  },
  YAML: {
    decode(input) {
      writeFileSync(FILE, input);
      loadConfig('agent', { file: FILE, takenPorts });
    },
    refusals: ['ConfigError'],
    samples: [
      Buffer.from('security: off\nstore: {path: /x, quota: 1GiB}\ntrackers: [a:1]\n'),
      Buffer.from(
        'security: off\ndoor:\n  listen: 127.0.0.1:29500\nrights:\n  staleAuth: 1h\nupstreams:\n  hosts: {r: {ca: x}}\n',
      ),
    ],
    words: [
      ':',
      '- ',
      '&a ',
      '*a',
      '!!js/function ',
      '{',
      '[',
      '? ',
      '|\n',
      '"',
      '<<: ',
      '\t',
      '---\n',
      '[*a,*a,*a]',
    ],
  },
};
