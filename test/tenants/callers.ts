import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from '../runtimes/door.ts';
import { basic, type Credentials, type PushedImage } from '../runtimes/images.ts';
import type { Agent } from '../runtimes/part.ts';
import { run, words } from '../runtimes/program.ts';
import type { Scene, SceneOptions } from '../runtimes/scene.ts';

/** Who asks. `revoked`: could read all of it a moment ago. */
export const CALLERS = ['none', 'wrong', 'revoked', 'right'] as const;
export type CallerKind = (typeof CALLERS)[number];

export interface Caller {
  readonly kind: CallerKind;
  /** As containerd sends it to the agent, after its own talk to the realm. */
  readonly authorization: string | undefined;
  /** As docker, podman and skopeo give it to the door. */
  readonly credentials: Credentials | undefined;
}

/** How a registry knows its users, and how it stops knowing one. */
export interface Tenancy {
  readonly name: string;
  readonly scene: SceneOptions;
  /** The Authorization for a repository. */
  authorization(scene: Scene, who: Credentials, repository: string): Promise<string>;
  prepare(scene: Scene): Promise<void>;
  /** Resolves when the registry itself turns mallory away. */
  revoke(scene: Scene, before: readonly Caller[]): Promise<void>;
}

export const ALICE = { user: 'alice', password: 'right' };
const MALLORY = { user: 'mallory', password: 'was right' };
const BOB = { user: 'bob', password: 'right' };
export const REPOSITORY = 'team/private';
const ALL = [REPOSITORY];

/** docker-registry reads its file again when it has changed. */
const HTPASSWD: Tenancy = {
  name: 'htpasswd',
  scene: { auth: { kind: 'htpasswd', ...ALICE } },
  authorization: async (_scene, who) => basic(who),
  async prepare({ registry }) {
    await run([...words('htpasswd -bB -C 4'), registry.usersFile, MALLORY.user, MALLORY.password]);
  },
  async revoke({ registry }) {
    await run([...words('htpasswd -D'), registry.usersFile, MALLORY.user]);
    await readFile(registry.usersFile);
  },
};

/** docker-registry takes a token for a minute longer than it says, so this one counts for ten seconds. */
const BRIEF_SECONDS = -50;
const BRIEF_MS = 10_000;

const users = {
  alice: { password: ALICE.password, pull: ALL, push: ALL },
  bob: { password: BOB.password, pull: [] },
  mallory: { password: MALLORY.password, pull: ALL, lifetimeSeconds: BRIEF_SECONDS },
};

const TOKENS: Tenancy = {
  name: 'tokens',
  scene: { auth: { kind: 'token', issuer: { users } } },
  async authorization({ issuer }, who, repository) {
    if (issuer === undefined) throw new Error('the scene has no issuer');
    const url = new URL(issuer.trust.realm);
    url.searchParams.set('service', issuer.trust.service);
    url.searchParams.set('scope', `repository:${repository}:pull`);
    const response = await fetch(url, { headers: { authorization: basic(who) } });
    const { token }: { token: string } = JSON.parse(await response.text());
    return `Bearer ${token}`;
  },
  prepare: async () => {},
  async revoke({ issuer }) {
    issuer?.forget(MALLORY.user);
    const last = issuer?.issued.findLast(({ user }) => user === MALLORY.user)?.at ?? 0;
    await sleep(last + BRIEF_MS + 1000 - Date.now());
  },
};

export const TENANCIES = [HTPASSWD, TOKENS];

/** Callers as they are once mallory, who has just read from every agent, is nobody's any more. */
export async function makeCallers(
  tenancy: Tenancy,
  scene: Scene,
  pushed: readonly PushedImage[],
): Promise<Map<CallerKind, Caller>> {
  const authorized = (who: Credentials): Promise<string> => tenancy.authorization(scene, who, REPOSITORY);
  await tenancy.prepare(scene);
  const revoked = {
    kind: 'revoked',
    authorization: await authorized(MALLORY),
    credentials: MALLORY,
  } as const;
  for (const agent of scene.cluster.agents)
    for (const image of pushed) await expectToRead(scene, agent, image, revoked.authorization);
  await tenancy.revoke(scene, [revoked]);
  const wrong = tenancy === HTPASSWD ? { ...ALICE, password: 'wrong' } : BOB;
  const all: Caller[] = [
    { kind: 'none', authorization: undefined, credentials: undefined },
    { kind: 'wrong', authorization: await authorized(wrong), credentials: wrong },
    revoked,
    { kind: 'right', authorization: await authorized(ALICE), credentials: ALICE },
  ];
  return new Map(all.map((caller) => [caller.kind, caller]));
}

/** By HEAD, so that nothing gets cached. */
async function expectToRead(
  scene: Scene,
  agent: Agent,
  { tag, repository }: PushedImage,
  authorization: string,
): Promise<void> {
  const asked = scene.asked(repository, authorization);
  const { status } = await ask(agent.door, `manifests/${tag}`, asked, { method: 'HEAD' });
  if (status !== 200) throw new Error(`${agent.name} answers ${status} to who may read`);
}
