import { startTokenIssuer } from '../../runtimes/token-issuer.ts';
import { MACHINE } from './network.ts';
import { startUpstream, type Upstream } from './upstream.ts';

export const ALICE = { user: 'alice', password: 'right' };
const PUBLISHER = { user: 'publisher', password: 'publish' };
/** What the token registry holds that alice may read. */
const TOKEN_REPOSITORIES = ['team/token', 'team/syn'];

export type Upstreams = Readonly<Record<'public' | 'password' | 'token', Upstream>>;

/** One registry that anybody may read, and two that alice may. They end with `starting`. */
export async function startUpstreams(directory: string, starting: AsyncDisposableStack): Promise<Upstreams> {
  const users = {
    alice: { password: ALICE.password, pull: TOKEN_REPOSITORIES },
    publisher: { password: PUBLISHER.password, pull: TOKEN_REPOSITORIES, push: TOKEN_REPOSITORIES },
  };
  const issuer = starting.use(await startTokenIssuer({ directory, address: MACHINE.tokenRealm, users }));
  const htpasswd = { kind: 'htpasswd', ...ALICE } as const;
  const byToken = { kind: 'token', trust: issuer.trust } as const;
  return {
    public: starting.use(await startUpstream({ directory, address: MACHINE.publicRegistry })),
    password: starting.use(
      await startUpstream({
        directory,
        address: MACHINE.passwordRegistry,
        auth: htpasswd,
        credentials: ALICE,
      }),
    ),
    token: starting.use(
      await startUpstream({
        directory,
        address: MACHINE.tokenRegistry,
        auth: byToken,
        credentials: PUBLISHER,
      }),
    ),
  };
}

/** PEM of those who vouch for the registries. */
export function authoritiesOf(upstreams: Upstreams): string {
  return Object.values(upstreams)
    .map(({ registry }) => registry.ca)
    .join('');
}
