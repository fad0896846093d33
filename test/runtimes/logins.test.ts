import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startDocker } from './docker.ts';
import { keepLogsOnFailure } from './failure-logs.ts';
import type { PushedImage } from './images.ts';
import { total } from './metrics.ts';
import { mirrorPodman } from './mirrors.ts';
import type { Agent } from './part.ts';
import { mustSucceed, type Outcome } from './program.ts';
import { REGISTRY_ADDRESS, startScene, type Scene, type SceneOptions } from './scene.ts';
import { copyBySkopeo, podmanIn, type Podman } from './stock-runtimes.ts';

const ALICE = { user: 'alice', password: 'right' };
const WRONG = { user: 'alice', password: 'wrong' };
const LAYERS = [3_000_000, 300_000] as const;

const SCENES: [string, SceneOptions][] = [
  ['htpasswd', { auth: { kind: 'htpasswd', ...ALICE } }],
  [
    'tokens',
    {
      auth: {
        kind: 'token',
        issuer: {
          users: {
            alice: { password: ALICE.password, pull: ['team/app'], push: ['team/app', 'team/public'] },
          },
          anonymous: ['team/public'],
        },
      },
    },
  ],
];

describe.each(SCENES)('before a registry with %s', (kind, options) => {
  let scene: Scene;
  let pushed: PushedImage;
  let podmen = 0;
  beforeAll(async () => {
    const cluster = { agents: 2, logins: [REGISTRY_ADDRESS] };
    scene = await startScene({ ...options, credentials: ALICE, cluster });
    pushed = await scene.push('team/app', LAYERS);
  });
  afterAll(() => scene?.[Symbol.asyncDispose]());

  const copy = (agent: Agent, name: string, credentials?: typeof ALICE): Promise<Outcome> =>
    copyBySkopeo(`${agent.doorAddress}/${pushed.reference}`, join(scene.directory, name), {
      all: false,
      ...(credentials && { credentials }),
    });

  /** A podman with the agent as the registry's mirror; what it gets, it can only have through the agent: it knows no password for the registry. */
  async function podmanBehind(agent: Agent, name: string): Promise<[Podman, { registriesConf: string }]> {
    const registriesConf = await mirrorPodman(join(scene.directory, `node-${name}`), scene.registry, agent);
    // podman takes short paths only.
    return [podmanIn(join(scene.directory, `p${podmen++}`)), { registriesConf }];
  }

  test('skopeo copies with the right password and not with a wrong one or none, cold and cached', async () => {
    keepLogsOnFailure(scene.cluster, scene.registry);
    for (const round of ['cold', 'cached']) {
      expect(await copy(scene.agent(0), `none-${round}`)).toMatchObject({ code: 1 });
      expect(await copy(scene.agent(0), `wrong-${round}`, WRONG)).toMatchObject({ code: 1 });
      mustSucceed(await copy(scene.agent(0), `right-${round}`, ALICE));
    }
  });

  test.each([
    ['host', (door: string) => door],
    ['registry', (door: string) => `${door}/${REGISTRY_ADDRESS}`],
  ])("podman, logged in to the door's %s, pulls through it", async (name, place) => {
    keepLogsOnFailure(scene.cluster, scene.registry);
    const agent = scene.agent(1);
    const [podman, mirrored] = await podmanBehind(agent, `${kind}-${name}`);
    const authFile = join(scene.directory, `auth-${name}.json`);
    mustSucceed(await podman.login(place(agent.doorAddress), ALICE, authFile));
    expect(await podman.pull(pushed.reference, { ...mirrored, authFile })).toMatchObject({ code: 0 });
  });

  test('docker, logged in to the door, pulls what it names by the registry below it, and nothing without a login or with a wrong one', async () => {
    keepLogsOnFailure(scene.cluster, scene.registry);
    const { doorAddress } = scene.agent(0);
    // docker knows loopback alone as plain HTTP, and paths of a mirror only where it asks docker.io.
    const reference = `${doorAddress}/${pushed.reference}`;
    await using docker = await startDocker(join(scene.directory, `docker-${kind}`));
    // Which registry is meant shows with the first pull: no login is refused.
    mustSucceed(await docker.login(doorAddress, WRONG, 'wrong'));
    mustSucceed(await docker.login(doorAddress, ALICE, 'right'));
    for (const round of ['cold', 'cached']) {
      expect(await docker.pull(reference, 'none')).toMatchObject({ code: 1 });
      expect(await docker.pull(reference, 'wrong')).toMatchObject({ code: 1 });
      mustSucceed(await docker.pull(reference, 'right'), `docker pull, ${round}`);
      mustSucceed(await docker.remove(reference));
    }
  });

  test('podman without a login gets nothing of what the agent has cached', async () => {
    keepLogsOnFailure(scene.cluster, scene.registry);
    const [podman, mirrored] = await podmanBehind(scene.agent(1), `${kind}-stranger`);
    expect(await podman.pull(pushed.reference, mirrored)).toMatchObject({ code: 125 });
    const direct = total(await scene.agent(1).metrics(), 'shoal_agent_private_direct_total');
    expect(direct).toBeGreaterThan(0);
  });

  test('podman given a password for the registry itself pulls past the agent, which never sees it', async () => {
    keepLogsOnFailure(scene.cluster, scene.registry);
    const [podman, mirrored] = await podmanBehind(scene.agent(1), `${kind}-direct`);
    expect(await podman.pull(pushed.reference, { ...mirrored, credentials: ALICE })).toMatchObject({
      code: 0,
    });
  });

  test.runIf(kind === 'tokens')('podman pulls a public image without a login', async () => {
    keepLogsOnFailure(scene.cluster, scene.registry);
    const image = await scene.push('team/public', [200_000]);
    const [podman, mirrored] = await podmanBehind(scene.agent(0), 'public');
    mustSucceed(await podman.pull(image.reference, mirrored));
    const past = scene.registry.accesses().filter(({ uri, userAgent }) => {
      return uri.startsWith('/v2/team/public/') && /podman|containers|libpod/i.test(userAgent);
    });
    expect(past.filter(({ method }) => method === 'GET')).toEqual([]);
  });
});
