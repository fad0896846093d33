import { writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { ConfigError } from '#service/config/config-error.ts';
import { loadConfig } from '#service/config/load.ts';
import type { ConfigSources, Part } from '#service/config/load.ts';

import { temporaryDirectory } from '../../../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../../support/temporary-directory.ts';

let dir: TemporaryDirectory;
beforeEach(async () => {
  dir = await temporaryDirectory('config');
});
afterEach(() => dir[Symbol.asyncDispose]());

/** The machine that runs the test must not decide its result. */
const takenPorts = () => ({ ephemeral: [32_768, 60_999], reserved: [] }) as const;

async function writeYaml(text: string): Promise<string> {
  const file = dir.join('shoal.yaml');
  await writeFile(file, text);
  return file;
}

const OFF = { security: 'off' };

/** The message with which a configuration stops the start. */
function refusal(part: Part, sources: ConfigSources): string {
  try {
    loadConfig(part, { takenPorts, ...sources });
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error('the configuration was taken');
}

describe('where values come from', () => {
  test('defaults are typed numbers', () => {
    const config = loadConfig('agent', { flags: OFF, takenPorts });
    expect(config.door).toMatchObject({ listen: '127.0.0.1:29500', requestsPerSecond: 500 });
    expect(config.store.quotaBytes).toBe(50 * 2 ** 30);
    expect(config.rights.staleAuthMs).toBe(24 * 3600 * 1000);
    expect(config.bandwidth).toEqual({});
    expect(config.node.name).not.toBe('');
  });

  test('a file is read with units and groups', async () => {
    const file = await writeYaml(`
security: off
store: { path: /data, quota: 10GiB }
bandwidth:
  download: 20MB/s
rights:
  verdictLifetime: 90s
trackers: [tracker-0:29510, "[fd00::1]:29510"]
upstreams:
  hosts:
    "registry.local:5000": { plainHttp: true }
log:
`);
    const config = loadConfig('agent', { file, takenPorts });
    expect(config.store).toEqual({ path: '/data', quotaBytes: 10 * 2 ** 30 });
    expect(config.bandwidth).toEqual({ downloadBytesPerSecond: 20_000_000 });
    expect(config.rights.verdictLifetimeMs).toBe(90_000);
    expect(config.trackers).toEqual(['tracker-0:29510', '[fd00::1]:29510']);
    expect(config.upstreams.hosts).toEqual({ 'registry.local:5000': { plainHttp: true } });
    expect(config.log.level).toBe('info');
  });

  test('a flag counts before the environment, that before the file', async () => {
    const file = await writeYaml('security: off\nnode: {name: file, rack: file, zone: file}');
    const env = { SHOAL_NODE_NAME: 'env', SHOAL_NODE_RACK: 'env' };
    const config = loadConfig('agent', { file, env, flags: { 'node.name': 'flag' }, takenPorts });
    expect(config.node).toEqual({ name: 'flag', rack: 'env', zone: 'file' });
  });

  test('the environment carries lists, maps, numbers, switches and sizes', () => {
    const env = {
      SHOAL_SECURITY: 'off',
      SHOAL_TRACKERS: 'a:1, b:2',
      SHOAL_UPSTREAMS_HOSTS: '{"r:5000": {"plainHttp": true}}',
      SHOAL_PEER_MAX_CONNECTIONS: '64',
      SHOAL_STRANGERS: 'true',
      SHOAL_STORE_QUOTA: '1MiB',
    };
    const config = loadConfig('agent', { env, takenPorts });
    expect(config.trackers).toEqual(['a:1', 'b:2']);
    expect(config.upstreams.hosts).toEqual({ 'r:5000': { plainHttp: true } });
    expect([config.peer.maxConnections, config.strangers, config.store.quotaBytes]).toEqual([
      64,
      true,
      2 ** 20,
    ]);
  });

  test('what is loaded cannot be changed, and two loads share nothing', () => {
    const [a, b] = [
      loadConfig('agent', { flags: OFF, takenPorts }),
      loadConfig('agent', { flags: OFF, takenPorts }),
    ];
    expect(Object.isFrozen(a.trackers) && Object.isFrozen(a.door)).toBe(true);
    expect(a.trackers).not.toBe(b.trackers);
  });
});

describe('what stops the start', () => {
  test.each([
    [
      'store.quota',
      'lots',
      'store.quota is "lots" (flag --store.quota): a size such as 512MiB, 50GiB or 20GB, from 1MiB to 4096TiB is allowed',
    ],
    ['fallback.stall', '2', 'fallback.stall is "2" (flag --fallback.stall): a duration such as'],
    ['fallback.stall', '1ms', 'from 100ms to 5m is allowed'],
    ['peer.maxConnections', '1.5', 'a whole number from 8 to 16384 is allowed'],
    ['strangers', 'yes', 'true or false is allowed'],
    ['peer.listen', '0.0.0.0:99999', 'host:port, or [address]:port for IPv6 is allowed'],
    ['log.level', 'loud', 'one of trace, debug, info, warn, error, fatal, silent is allowed'],
    ['trustedOriginKeys', 'abc', 'a list of public keys'],
    ['upstreams.hosts', '{"r": {"palin": true}}', 'a map from registry'],
    ['upstreams.hosts', '{{{', 'a map from registry'],
    ['bandwidth.download', '20MB', 'a rate such as 20MB/s'],
  ])('%s: %s', (knob, value, message) => {
    expect(refusal('agent', { flags: { ...OFF, [knob]: value } })).toContain(message);
  });

  test('a knob that does not exist, with those that do', async () => {
    const file = await writeYaml('security: off\nstore: {qouta: 1GiB}');
    expect(refusal('agent', { file })).toBe(
      `store.qouta (${file}) is not a knob: under store, path, quota are allowed`,
    );
    expect(refusal('tracker', { flags: { 'door.listen': 'x' } })).toContain(
      '--door.listen is not a knob of the tracker',
    );
    expect(refusal('agent', { flags: OFF, env: { SHOAL_DOOR_LISTENN: 'x' } })).toContain(
      'SHOAL_DOOR_LISTENN is not a knob of any part',
    );
  });

  test("variables that Kubernetes makes for Services named shoal-… are no knobs and don't stop the start", () => {
    const env = {
      SHOAL_TRACKER_SERVICE_HOST: '10.0.0.1',
      SHOAL_TRACKER_SERVICE_PORT_HTTP: '29510',
      SHOAL_TRACKER_PORT: 'tcp://10.0.0.1:29510',
      SHOAL_TRACKER_PORT_29510_TCP_ADDR: '10.0.0.1',
      SHOAL_LEASES_PER_BLOB: '3',
      PATH: '/bin',
    };
    expect(loadConfig('agent', { env, flags: OFF, takenPorts }).trackers).toEqual([]);
  });

  test('what is wrong with YAML, and where, in a sentence', async () => {
    const file = await writeYaml('a: 1\na: 2');
    expect(refusal('agent', { file })).toMatch(
      /is not valid YAML: Map keys must be unique at line 2, column 1$/mu,
    );
  });

  test.each([
    ['a: [', 'is not valid YAML'],
    ['a: 1\na: 2', 'is not valid YAML'],
    ['- a', 'the whole is ["a"]'],
    ['store: 5', 'store is 5'],
    ['strangers: "true"', 'strangers is "true"'],
    ['trackers: tracker:29510', 'trackers is "tracker:29510"'],
    ['node: {name: 12}', 'node.name is 12'],
    ['fallback: {stall: 2000}', 'fallback.stall is 2000'],
  ])('the file %j', async (text, message) => {
    const file = await writeYaml(text);
    const told = refusal('agent', { file });
    expect(told).toContain(message);
    expect(told).toContain(file);
  });

  test('a file whose aliases explode, one that is huge and one that is not there', async () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...'bcdefghi'
        .split('')
        .map((name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghi'[index]}`).join(',')}]`),
    ];
    expect(refusal('agent', { file: await writeYaml(bomb.join('\n')) })).toContain('cannot be taken');
    expect(refusal('agent', { file: await writeYaml(`# ${'x'.repeat(2 ** 20)}`) })).toContain(
      'at most 1048576 are allowed',
    );
    expect(refusal('agent', { file: dir.join('none') })).toContain('cannot read the configuration');
  });

  test.each(['&a [*a]', 'door: &a {listen: [*a]}', '&a {door: &b {listen: [[[[*a]]]]}}'])(
    'a file that contains itself: %j',
    async (text) => {
      const file = await writeYaml(text);
      expect(refusal('agent', { file })).toBe(`${file} cannot be taken: *a stands within &a itself`);
    },
  );

  test('not an anchor that is used again within what had it before', async () => {
    const file = await writeYaml('door: &a {listen: &a 127.0.0.1:1234, publicUrl: *a}');
    expect(refusal('agent', { file })).not.toContain('itself');
  });

  test('a missing value that has no default', () => {
    expect(refusal('origin', { flags: OFF })).toBe('signingKeyFile is not set: a file path is needed');
    expect(refusal('agent', {})).toContain('clusterKeyFile is not set');
  });
});

function door(listen: string, others: Record<string, string> = OFF): ConfigSources {
  return { flags: { ...others, 'door.listen': listen } };
}

function reserved() {
  return { ephemeral: [32_768, 60_999], reserved: [[32_768, 32_770]] } as const;
}

describe("the agent's door", () => {
  const keyed = { clusterKeyFile: '/key' };

  test.each(['127.0.0.1:29500', '[::1]:29999', 'localhost:5000', '127.0.0.1:32768'])(
    'may be at %s',
    (listen) => {
      expect(loadConfig('agent', { ...door(listen), takenPorts: reserved }).door.listen).toBe(listen);
    },
  );

  test.each([
    ['0.0.0.0:29500', 'only an address on loopback is allowed'],
    ['10.0.0.1:29500', 'only an address on loopback is allowed'],
    ['127.0.0.1:30000', 'NodePort range 30000–32767, where a Service could capture the door'],
    ['127.0.0.1:32767', 'NodePort range'],
    ['127.0.0.1:32768', 'ephemeral range 32768–60999 (net.ipv4.ip_local_port_range)'],
    ['127.0.0.1:60999', 'ephemeral range'],
  ])('may not be at %s', (listen, message) => {
    expect(refusal('agent', door(listen))).toContain(message);
  });

  test('takes any free port only where security is off', () => {
    expect(loadConfig('agent', { ...door('127.0.0.1:0'), takenPorts }).door.listen).toBe('127.0.0.1:0');
    expect(refusal('agent', door('127.0.0.1:0', keyed))).toContain('a fixed port is needed');
  });
});

describe('rules between knobs', () => {
  const key = Buffer.alloc(32, 1).toString('base64');

  test('origins without their keys would be believed nothing', () => {
    expect(refusal('agent', { flags: { ...OFF, origins: 'o:29520' } })).toContain(
      'trustedOriginKeys is empty',
    );
    expect(
      loadConfig('agent', { flags: { ...OFF, origins: 'o:29520', trustedOriginKeys: key }, takenPorts })
        .origins,
    ).toHaveLength(1);
  });

  test('an origin of a ring knows which one it is', () => {
    const flags = { ...OFF, signingKeyFile: '/k', origins: 'a:1,b:1' };
    expect(refusal('origin', { flags })).toContain('advertise is not set');
    expect(refusal('origin', { flags: { ...flags, advertise: 'c:1' } })).toContain(
      'one of origins is allowed (a:1, b:1)',
    );
    expect(loadConfig('origin', { flags: { ...flags, advertise: 'b:1' } }).advertise).toBe('b:1');
  });

  test('a tracker does not forget members between two announces', () => {
    const flags = { ...OFF, announceInterval: '1m' };
    expect(refusal('tracker', { flags: { ...flags, memberTimeout: '10s' } })).toContain(
      'memberTimeout is 10s, but announceInterval is 60s: a memberTimeout of at least twice that, 2m, is allowed',
    );
    expect(refusal('tracker', { flags })).toContain('a memberTimeout of at least twice that');
    expect(loadConfig('tracker', { flags: { ...flags, memberTimeout: '2m' } }).memberTimeoutMs).toBe(120_000);
  });
});
