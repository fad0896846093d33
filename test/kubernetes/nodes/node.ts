import { globSync, readFileSync } from 'node:fs';
import { access, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { eventually, type Daemon, run, startDaemon, words } from '../../runtimes/program.ts';
import type { ControlPlane } from '../control-plane.ts';
import { nodeAddress, plugIn, unplug } from './network.ts';
import { writeNodeFiles } from './node-files.ts';

const INIT = join(import.meta.dirname, 'node-init.sh');
const NAMESPACES = '--net --mount --uts --ipc --pid --fork --kill-child --mount-proc --propagation private';

export interface NodeParts {
  readonly plane: ControlPlane;
  /** The folder of the built binaries. */
  readonly bin: string;
  /** Of all nodes; each has a folder of its own in it. */
  readonly directory: string;
  /** Of all nodes, in every hierarchy. */
  readonly cgroup: string;
  /** An archive of the sandbox's image. */
  readonly pauseImage: string;
  /** PEM file of the authorities that the node trusts. */
  readonly authorities: string;
}

/** The users that node and proxy are at the API server, as lines of its token file. */
export function nodeUsers(count: number): string[] {
  const nodes = Array.from({ length: count }, (_, index) => `node${index + 1}`);
  return [
    ...nodes.map((name) => `${name}-token,system:node:${name},${name},system:nodes`),
    'proxy-token,system:kube-proxy,proxy',
  ];
}

/** A node in namespaces of its own: containerd, a kubelet and kube-proxy. Its disk outlives a crash. */
export class Node implements AsyncDisposable {
  readonly name: string;
  readonly address: string;
  readonly #parts: NodeParts;
  readonly #index: number;
  readonly #count: number;
  readonly #directory: string;
  #init: Daemon | undefined;
  #pid = 0;
  #daemons: Daemon[] = [];

  /** @param index from 1 to `count` */
  constructor(parts: NodeParts, index: number, count: number) {
    this.#parts = parts;
    this.#index = index;
    this.#count = count;
    this.name = `node${index}`;
    this.address = nodeAddress(index);
    this.#directory = join(parts.directory, this.name);
  }

  /** Once, before the first start. */
  async install(): Promise<void> {
    const { plane, bin, cgroup } = this.#parts;
    const { name } = this;
    await mkdir(this.#directory, { recursive: true });
    await writeNodeFiles({ index: this.#index, name, directory: this.#directory, bin, cgroup });
    const logins = { 'kubelet.kubeconfig': `${name}-token`, 'proxy.kubeconfig': 'proxy-token' };
    for (const [file, token] of Object.entries(logins))
      await writeFile(join(this.#directory, file), await plane.kubeconfig(token), { mode: 0o600 });
  }

  /** Boots it; it is not Ready yet. */
  async start(): Promise<void> {
    const booted = join(this.#directory, 'booted');
    await rm(booted, { force: true });
    this.#init = await startDaemon(
      ['unshare', ...words(NAMESPACES), 'bash', INIT, this.#directory, this.name, this.#parts.cgroup],
      () => access(booted).then(() => true),
    );
    this.#pid = await onlyChild(this.#init.pid);
    await plugIn(this.#index, this.#pid, this.#count);
    await this.#startRuntime();
    const file = (name: string): string => join(this.#directory, name);
    await this.#daemon([
      'kubelet',
      `--config=${file('kubelet.yaml')}`,
      `--kubeconfig=${file('kubelet.kubeconfig')}`,
      `--hostname-override=${this.name}`,
      `--node-ip=${this.address}`,
      `--node-labels=topology.kubernetes.io/zone=zone-${this.#index}`,
    ]);
    await this.#daemon(['kube-proxy', `--config=${file('proxy.yaml')}`]);
  }

  /** As the power fails: everything on it is gone at once and without a goodbye, but for its disk. */
  async crash(): Promise<void> {
    if (this.#init === undefined) return;
    await unplug(this.#index);
    // A start that failed early knows of no process 1, and 0 would be the tests' own group.
    if (this.#pid > 0) process.kill(this.#pid, 'SIGKILL');
    this.#pid = 0;
    await this.#init.stop();
    for (const daemon of this.#daemons) await daemon.stop();
    this.#init = undefined;
    this.#daemons = [];
  }

  /** Runs a program on the node. @throws Error with what it printed. */
  exec(command: readonly string[]): Promise<string> {
    return run([...this.#enter(), ...command]);
  }

  /** Asks the node's containerd about what the kubelet has. @throws Error with what it printed. */
  ctr(...args: readonly string[]): Promise<string> {
    return this.exec([join(this.#parts.bin, 'ctr'), '--namespace=k8s.io', ...args]);
  }

  /** Where a file of the node is for this process. */
  path(path: string): string {
    return `/proc/${this.#pid}/root${path}`;
  }

  /** What its daemons have printed, and the pods of Shoal on it. */
  logs(): string {
    const pods = globSync(join(this.#directory, 'var/upper/log/pods/shoal_*/*/*.log'));
    const printed = pods.map((file) => `${file}\n${readFileSync(file, 'utf8')}`);
    return [...this.#daemons.map((daemon) => daemon.logs()), ...printed].join('\n');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.crash();
  }

  async #startRuntime(): Promise<void> {
    const { authorities, pauseImage } = this.#parts;
    await this.#daemon(['containerd'], () => this.ctr('version').then(() => true), {
      SSL_CERT_FILE: authorities,
    });
    await this.ctr('images', 'import', pauseImage);
  }

  async #daemon(
    [program = '', ...args]: readonly string[],
    ready: () => Promise<boolean> = () => Promise.resolve(true),
    env: Record<string, string> = {},
  ): Promise<void> {
    const { bin } = this.#parts;
    const path = `${bin}:${process.env['PATH'] ?? ''}`;
    const command = [...this.#enter(), join(bin, program), ...args];
    this.#daemons.push(await startDaemon(command, ready, { env: { PATH: path, ...env } }));
  }

  #enter(): string[] {
    return ['nsenter', `--target=${this.#pid}`, ...words('--net --mount --uts --ipc --pid --')];
  }
}

async function onlyChild(pid: number): Promise<number> {
  return eventually('process 1 of the node', async () => {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return Number(children.trim()) || undefined;
  });
}
