import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

import { connectKubernetes } from '#kubernetes/api.ts';
import type { KubernetesApi } from '#kubernetes/api.ts';
import { isJsonObject } from '#registry/json-object.ts';

import { ControlPlane } from '../control-plane.ts';

const CRDS = join(import.meta.dirname, '../../../charts/shoal/crds/imagepreheats.yaml');

/** A control plane with Shoal's resource definitions, and its administrator's way in. */
export interface Cluster extends AsyncDisposable {
  readonly plane: ControlPlane;
  readonly api: KubernetesApi;
  /** As the administrator. @throws ApiError */
  ask(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: object): Promise<unknown>;
}

export async function startCluster(): Promise<Cluster> {
  await using starting = new AsyncDisposableStack();
  const plane = starting.use(await ControlPlane.start());
  const api = starting.use(await connectKubernetes(await plane.kubeconfig()));
  const ask: Cluster['ask'] = (method, path, body) =>
    api.ask(
      { method, path, ...(body && { body }), ...(method === 'PATCH' && { patch: 'merge' }) },
      AbortSignal.timeout(20_000),
    );
  await defineResources(ask);
  const running = starting.move();
  return { plane, api, ask, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

async function defineResources(ask: Cluster['ask']): Promise<void> {
  const collection = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  for (const document of parseAllDocuments(await readFile(CRDS, 'utf8')))
    await ask('POST', collection, expectObject(document.toJS()));
  for (;;) {
    const definition = await ask('GET', `${collection}/imagepreheats.shoal.dev`);
    if (JSON.stringify(definition).includes('"type":"Established"')) break;
  }
  // Established is not yet served.
  await eventuallyAnswers(() => ask('GET', preheatsPath()));
}

async function eventuallyAnswers(ask: () => Promise<unknown>): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await ask();
      return;
    } catch (error) {
      if (attempt > 100) throw error;
    }
  }
}

function expectObject(value: unknown): object {
  if (!isJsonObject(value)) throw new TypeError('a document is no object');
  return value;
}

export function preheatsPath(name?: string): string {
  const collection = '/apis/shoal.dev/v1alpha1/namespaces/default/imagepreheats';
  return name === undefined ? collection : `${collection}/${name}`;
}

/** An object of a kind, as it is posted. */
export function object(
  apiVersion: string,
  kind: string,
  name: string,
  rest: object,
): { metadata: object } & Record<string, unknown> {
  const { metadata = {}, ...fields } = rest as { metadata?: object };
  return { apiVersion, kind, metadata: { name, ...metadata }, ...fields };
}

/** A part of an object by its path; undefined where there is none. */
export function part(value: unknown, ...path: readonly (string | number)[]): unknown {
  let at = value;
  for (const step of path) {
    if (Array.isArray(at) && typeof step === 'number') at = at[step];
    else at = isJsonObject(at) ? at[step] : undefined;
  }
  return at;
}
