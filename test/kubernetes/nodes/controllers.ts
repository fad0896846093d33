import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type Daemon, startDaemon } from '../../runtimes/program.ts';
import type { ControlPlane } from '../control-plane.ts';
import { MACHINE } from './network.ts';

/** Who they are at the API server, as lines of its token file. */
export const CONTROLLER_USERS = [
  'controllers-token,system:kube-controller-manager,controllers',
  'scheduler-token,system:kube-scheduler,scheduler',
  'names-token,names,names,system:masters',
];

/** A node that has not been heard of for so long is NotReady. */
const NODE_GRACE = '12s';

/** Without a Service of its own, so that no pod need run before names are answered; otherwise as kubeadm configures it. */
const COREFILE = `.:53 {
  bind ${MACHINE.controlPlane}
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig {KUBECONFIG}
    pods insecure
    ttl 30
  }
  cache 30 {
    disable success cluster.local
    disable denial cluster.local
  }
}
`;

export interface ControllersParts {
  readonly plane: ControlPlane;
  /** The folder of the built binaries. */
  readonly bin: string;
  readonly directory: string;
}

/** What makes an API server a cluster: the controller manager, the scheduler, and CoreDNS as cluster DNS. */
export async function startControllers(
  parts: ControllersParts,
): Promise<AsyncDisposable & { logs(): string }> {
  await using starting = new AsyncDisposableStack();
  const daemons: Daemon[] = [];
  const daemon = async (command: readonly string[], user: string): Promise<void> => {
    const file = join(parts.directory, `${user}.kubeconfig`);
    await writeFile(file, await parts.plane.kubeconfig(`${user}-token`), { mode: 0o600 });
    const started = await startDaemon(command, () => Promise.resolve(true));
    daemons.push(starting.use(started));
  };
  const of = (user: string): string => join(parts.directory, `${user}.kubeconfig`);
  await daemon(managerCommand(parts, of('controllers')), 'controllers');
  const schedulerArguments = [
    `--kubeconfig=${of('scheduler')}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
  ];
  await daemon([join(parts.bin, 'kube-scheduler'), ...schedulerArguments], 'scheduler');
  const corefile = join(parts.directory, 'Corefile');
  await writeFile(corefile, COREFILE.replace('{KUBECONFIG}', of('names')));
  await daemon([join(parts.bin, 'coredns'), '-conf', corefile], 'names');
  const running = starting.move();
  return {
    logs: () => daemons.map((each) => each.logs()).join('\n'),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

function managerCommand({ bin, plane }: ControllersParts, kubeconfig: string): string[] {
  return [
    join(bin, 'kube-controller-manager'),
    `--kubeconfig=${kubeconfig}`,
    '--use-service-account-credentials',
    `--service-account-private-key-file=${plane.accountKeyFile}`,
    `--root-ca-file=${plane.authorityFile}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
    '--node-monitor-period=2s',
    `--node-monitor-grace-period=${NODE_GRACE}`,
  ];
}
