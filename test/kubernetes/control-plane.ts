import { generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent, request } from 'undici';

import { type Daemon, run, startDaemon } from '../runtimes/program.ts';
import { freePorts } from '../../demo/free-port.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

const TOOLS = join(import.meta.dirname, 'tools.sh');
const BUILD_TIMEOUT_MS = 30 * 60_000;
const ADMIN_TOKEN = 'admin-token';
/** Of a user whose requests are counted. */
export const COUNTED_TOKEN = 'counted-token';
const AUDIT_POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived', 'ResponseStarted'],
  rules: [{ level: 'Metadata', users: ['counted'] }, { level: 'None' }],
};

/** The folder of binaries by these names, built where they are missing. */
export async function tools(...names: readonly string[]): Promise<string> {
  return (await run(['bash', TOOLS, ...names], { timeoutMs: BUILD_TIMEOUT_MS })).trim();
}

export interface ControlPlaneOptions {
  /** The folder of the built binaries. */
  readonly bin?: string;
  /** Where nodes reach the API server. By default it is on loopback, and nodes and their pods have no part in the cluster. */
  readonly address?: string;
  /** More users by their tokens: `token,name,id,groups`. */
  readonly users?: readonly string[];
}

/** A real etcd and a real kube-apiserver. Nobody schedules, runs or controls anything. */
export class ControlPlane implements AsyncDisposable {
  readonly #bin: string;
  readonly #address: string | undefined;
  readonly #directory: TemporaryDirectory;
  readonly #etcdPort: number;
  readonly #etcd: Daemon;
  readonly #port: number;
  #apiserver: Daemon | undefined;

  private constructor(
    parts: { bin: string; directory: TemporaryDirectory; etcd: Daemon; address: string | undefined },
    ports: { etcd: number; api: number },
  ) {
    this.#bin = parts.bin;
    this.#address = parts.address;
    this.#directory = parts.directory;
    this.#etcd = parts.etcd;
    this.#etcdPort = ports.etcd;
    this.#port = ports.api;
  }

  static async start({ address, users = [], ...options }: ControlPlaneOptions = {}): Promise<ControlPlane> {
    const bin = options.bin ?? (await tools('etcd', 'kube-apiserver'));
    await using starting = new AsyncDisposableStack();
    const directory = starting.use(await temporaryDirectory('kubernetes'));
    const [etcdPort = 0, peerPort = 0, api = 0] = await freePorts(3);
    const [clients, peers] = [etcdPort, peerPort].map((port) => `http://127.0.0.1:${port}`);
    const etcd = starting.use(
      await startDaemon(
        [
          join(bin, 'etcd'),
          '--name=test',
          `--data-dir=${directory.join('etcd')}`,
          '--unsafe-no-fsync',
          `--listen-client-urls=${clients}`,
          `--advertise-client-urls=${clients}`,
          `--listen-peer-urls=${peers}`,
          `--initial-advertise-peer-urls=${peers}`,
          `--initial-cluster=test=${peers}`,
        ],
        async () => (await fetch(`${clients}/readyz`)).ok,
      ),
    );
    const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    await writeFile(directory.join('sa.key'), key.export({ type: 'pkcs1', format: 'pem' }));
    const tokens = [
      `${ADMIN_TOKEN},admin,admin,system:masters`,
      `${COUNTED_TOKEN},counted,counted,system:masters`,
      ...users,
    ];
    await writeFile(directory.join('tokens.csv'), tokens.join('\n'));
    await writeFile(directory.join('audit.json'), JSON.stringify(AUDIT_POLICY));
    const plane = new ControlPlane({ bin, directory, etcd, address }, { etcd: etcdPort, api });
    await plane.startApiServer();
    starting.move();
    return plane;
  }

  async startApiServer(): Promise<void> {
    const at = (...parts: string[]): string => this.#directory.join(...parts);
    this.#apiserver = await startDaemon(
      [
        join(this.#bin, 'kube-apiserver'),
        `--etcd-servers=http://127.0.0.1:${this.#etcdPort}`,
        ...addressArguments(this.#address),
        `--secure-port=${this.#port}`,
        `--cert-dir=${at('certificates')}`,
        `--token-auth-file=${at('tokens.csv')}`,
        '--service-account-issuer=https://kubernetes.default.svc',
        `--service-account-key-file=${at('sa.key')}`,
        `--service-account-signing-key-file=${at('sa.key')}`,
        '--authorization-mode=Node,RBAC',
        '--service-cluster-ip-range=10.96.0.0/16',
        `--audit-policy-file=${at('audit.json')}`,
        `--audit-log-path=${at('audit.log')}`,
        '--shutdown-delay-duration=0s',
      ],
      () => isReady(`${this.url}/readyz`, this.authorityFile),
    );
  }

  get url(): string {
    return `https://${this.#address ?? '127.0.0.1'}:${this.#port}`;
  }

  /** Whom clients of the API server trust. */
  get authorityFile(): string {
    return this.#directory.join('certificates', 'apiserver.crt');
  }

  /** What tokens of service accounts are signed with. */
  get accountKeyFile(): string {
    return this.#directory.join('sa.key');
  }

  /** As it dies: without a goodbye to those who watch. */
  async killApiServer(): Promise<void> {
    if (this.#apiserver === undefined) return;
    process.kill(this.#apiserver.pid, 'SIGKILL');
    await this.#apiserver.stop();
    this.#apiserver = undefined;
  }

  /** Forgets all history but the present, so that no watch can go on from an earlier place. */
  async compactHistory(): Promise<void> {
    const all = await this.#askEtcd('range', { key: Buffer.from('/').toString('base64') });
    const revision = /"revision":"(\d+)"/u.exec(all)?.[1];
    await this.#askEtcd('compaction', { revision, physical: true });
  }

  async #askEtcd(path: string, body: object): Promise<string> {
    const url = `http://127.0.0.1:${this.#etcdPort}/v3/kv/${path}`;
    const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`etcd: ${response.status} ${text}`);
    return text;
  }

  /** For a user by a token; the cluster's administrator by default. */
  async kubeconfig(token: string = ADMIN_TOKEN, namespace = 'default'): Promise<string> {
    const authority = await readFile(this.authorityFile);
    return JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name: 'test',
          cluster: {
            server: this.url,
            'certificate-authority-data': authority.toString('base64'),
          },
        },
      ],
      users: [{ name: 'test', user: { token } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test', namespace } }],
      'current-context': 'test',
    });
  }

  /** Requests of the counted user that were answered, a watch when it ended. */
  async countedRequests(): Promise<number> {
    const text = await readFile(this.#directory.join('audit.log'), 'utf8').catch(() => '');
    return text.split('\n').length - 1;
  }

  logs(): string {
    return `${this.#etcd.logs()}\n${this.#apiserver?.logs() ?? ''}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.killApiServer();
    await this.#etcd.stop();
    await this.#directory[Symbol.asyncDispose]();
  }
}

/** Pods run with the accounts that a controller makes for them: where there is none, none is asked for. */
function addressArguments(address: string | undefined): string[] {
  if (address !== undefined)
    return [
      `--bind-address=${address}`,
      '--allow-privileged=true',
      '--endpoint-reconciler-type=master-count',
      // Nodes' names are known to nobody.
      '--kubelet-preferred-address-types=InternalIP',
    ];
  return [
    '--bind-address=127.0.0.1',
    // Nothing may be sent there, but loopback is refused.
    '--advertise-address=192.0.2.1',
    '--endpoint-reconciler-type=none',
    '--disable-admission-plugins=ServiceAccount',
  ];
}

/** By node's own TLS, since fetch cannot be told whom to trust. */
async function isReady(url: string, authority: string): Promise<boolean> {
  const agent = new Agent({ connect: { ca: await readFile(authority) }, allowH2: false });
  try {
    const { statusCode, body } = await request(url, { dispatcher: agent });
    await body.dump();
    return statusCode === 200;
  } finally {
    await agent.destroy();
  }
}
