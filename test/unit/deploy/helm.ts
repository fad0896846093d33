import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';

const run = promisify(execFile);
const CHART = join(import.meta.dirname, '../../../charts/shoal');
/** Where test/kubernetes/tools.sh puts what it builds. */
const BUILT = join(process.env['SHOAL_TOOLS'] ?? '/var/cache/shoal-tools', 'bin');

/** Helm's path; undefined where there is none. */
export const HELM = [...(process.env['PATH'] ?? '').split(delimiter), BUILT]
  .map((directory) => join(directory, 'helm'))
  .find(isExecutable);

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A Kubernetes object, as far as tests look into it. */
export interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly rules?: readonly { readonly resources: readonly string[]; readonly verbs: readonly string[] }[];
  readonly spec?: {
    readonly template?: {
      readonly metadata: { readonly annotations: Readonly<Record<string, string>> };
      readonly spec: PodSpec;
    };
    readonly clusterIP?: string;
    readonly endpoints?: readonly { readonly interval?: string }[];
    readonly ports?: readonly Port[];
    readonly selector?: Readonly<Record<string, string>>;
  };
}

interface Port {
  readonly name: string;
  readonly port?: number;
  readonly containerPort?: number;
}

export interface PodSpec {
  readonly terminationGracePeriodSeconds?: number;
  readonly hostNetwork?: boolean;
  readonly automountServiceAccountToken: boolean;
  readonly securityContext: object;
  readonly tolerations: readonly object[];
  readonly volumes: readonly { readonly name: string; readonly hostPath?: { readonly path: string } }[];
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly ports?: readonly Port[];
  readonly securityContext: {
    readonly runAsUser?: number;
    readonly capabilities: { readonly add?: string[] };
  };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

async function helm(...args: string[]): Promise<string> {
  const { stdout } = await run(HELM ?? 'helm', args);
  return stdout;
}

const settings = (values: readonly string[]): string[] => values.flatMap((value) => ['--set', value]);

/** @throws Error where it finds something wrong */
export const lint = (...values: string[]): Promise<string> =>
  helm('lint', '--strict', CHART, ...settings(values));

/** The chart's objects for these values, in the form `a.b=c`. */
export async function render(...values: string[]): Promise<Manifest[]> {
  return template(settings(values));
}

/** The same for flags of `helm template`. */
export async function template(flags: readonly string[], release = 'shoal'): Promise<Manifest[]> {
  const text = await helm('template', release, CHART, '--namespace', 'shoal', ...flags);
  return parseAllDocuments(text).flatMap((document) => {
    const value: Manifest | null = document.toJS();
    return value === null ? [] : [value];
  });
}
