import { join } from 'node:path';
import { describeTree } from './containerd.ts';
import { pair, type Credentials } from './images.ts';
import { attempt, run, words, type Outcome } from './program.ts';

/** `skopeo copy` from a registry or an agent's door into an OCI layout, digests unchanged. */
export function copyBySkopeo(
  source: string,
  directory: string,
  options: { all?: boolean; credentials?: Credentials; signal?: AbortSignal } = {},
): Promise<Outcome> {
  const { all = true, credentials, signal } = options;
  return attempt(
    [
      ...words('skopeo --override-arch amd64 --override-os linux copy --preserve-digests'),
      ...(all ? ['--all'] : []),
      // An agent's door speaks plain HTTP on loopback; a test registry's certificate has no known CA.
      '--src-tls-verify=false',
      ...(credentials === undefined ? ['--src-no-creds'] : ['--src-creds', pair(credentials)]),
      `docker://${source}`,
      `oci:${directory}`,
    ],
    signal === undefined ? {} : { signal },
  );
}

export interface Podman {
  /** `registriesConf` as `shoal config podman` writes it. */
  pull(
    reference: string,
    options?: { registriesConf?: string; credentials?: Credentials; authFile?: string },
  ): Promise<Outcome>;
  /** Keeps the credentials in `authFile`; `place` is a registry, or a part of one: `127.0.0.1:29500/registry.example`. */
  login(place: string, credentials: Credentials, authFile: string): Promise<Outcome>;
  files(reference: string): Promise<Map<string, string>>;
}

/** podman with storage of its own; the vfs driver needs nothing of the kernel. */
export function podmanIn(directory: string): Podman {
  const podman = [
    'podman',
    `--root=${join(directory, 'root')}`,
    `--runroot=${join(directory, 'run')}`,
    `--tmpdir=${join(directory, 'tmp')}`,
    ...words('--storage-driver=vfs --events-backend=none'),
  ];
  return {
    pull: (reference, { registriesConf, credentials, authFile } = {}) =>
      attempt(
        [
          ...podman,
          ...words('pull --arch amd64 --tls-verify=false'),
          ...(credentials === undefined ? [] : ['--creds', pair(credentials)]),
          ...(authFile === undefined ? [] : ['--authfile', authFile]),
          reference,
        ],
        { env: registriesConf === undefined ? {} : { CONTAINERS_REGISTRIES_CONF: registriesConf } },
      ),
    login: (place, { user, password }, authFile) =>
      attempt(
        [
          ...podman,
          ...words('login --tls-verify=false --password-stdin --username'),
          user,
          '--authfile',
          authFile,
          place,
        ],
        { input: password },
      ),
    async files(reference) {
      const mounted = (await run([...podman, 'image', 'mount', reference])).trim();
      try {
        return await describeTree(mounted);
      } finally {
        await run([...podman, 'image', 'unmount', reference]);
      }
    },
  };
}
