import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { parseAllDocuments } from 'yaml';

import { isJsonObject } from '#registry/json-object.ts';

import { run } from '../../runtimes/program.ts';
import { type Cluster, part, startCluster } from './cluster.ts';

const ROOT = join(import.meta.dirname, '../../..');
const CHART = join(ROOT, 'charts/shoal');
const MANIFESTS = join(ROOT, 'deploy/manifests');

/** Values that turn on what is off by default, as far as a bare API server knows its kinds. */
const EVERYTHING = [
  'startupTaint.enabled=true',
  'networkPolicy.enabled=true',
  'preheat.pullSecrets={registry-login}',
];

let cluster: Cluster;
let kinds: ReadonlyMap<string, { readonly path: string; readonly namespaced: boolean }>;
beforeAll(async () => {
  cluster = await startCluster();
  kinds = await servedKinds();
  await cluster.ask('POST', '/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shoal' },
  });
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

function helm(...args: string[]): Promise<string> {
  return run([join(inject('tools'), 'helm'), ...args]);
}

/** Every kind that the API server knows, by `apiVersion kind`. */
async function servedKinds(): Promise<Map<string, { path: string; namespaced: boolean }>> {
  const groups = part(await cluster.ask('GET', '/apis'), 'groups');
  const versions = Array.isArray(groups)
    ? groups.map((group) => String(part(group, 'preferredVersion', 'groupVersion')))
    : [];
  const found = new Map<string, { path: string; namespaced: boolean }>();
  for (const version of ['v1', ...versions]) {
    const path = version === 'v1' ? '/api/v1' : `/apis/${version}`;
    const resources = part(await cluster.ask('GET', path), 'resources');
    for (const resource of Array.isArray(resources) ? resources : []) {
      const [name, kind] = [String(part(resource, 'name')), String(part(resource, 'kind'))];
      if (name.includes('/')) continue;
      found.set(`${version} ${kind}`, {
        path: `${path} ${name}`,
        namespaced: part(resource, 'namespaced') === true,
      });
    }
  }
  return found;
}

/** Has the API server check an object as if it were to be created. @throws ApiError */
async function dryRun(document: Record<string, unknown>): Promise<void> {
  const known = kinds.get(`${String(document['apiVersion'])} ${String(document['kind'])}`);
  if (known === undefined) throw new Error(`the API server knows no ${String(document['kind'])}`);
  const [base, name] = known.path.split(' ');
  const own = part(document, 'metadata', 'namespace');
  const namespace = typeof own === 'string' ? own : 'shoal';
  const path = known.namespaced ? `${base}/namespaces/${namespace}/${name}` : `${base}/${name}`;
  const query = { dryRun: 'All', fieldValidation: 'Strict' };
  await cluster.api.ask({ method: 'POST', path, query, body: document }, AbortSignal.timeout(20_000));
}

/** Every object of a text, each checked; those that are there already are. */
async function dryRunAll(text: string): Promise<string[]> {
  const checked: string[] = [];
  for (const document of parseAllDocuments(text)) {
    const object: unknown = document.toJS();
    if (!isJsonObject(object)) continue;
    const name = `${String(object['kind'])} ${String(part(object, 'metadata', 'name'))}`;
    try {
      await dryRun(object);
    } catch (error) {
      if (!String(error).includes('AlreadyExists'))
        throw new Error(`${name}: ${String(error)}`, { cause: error });
    }
    checked.push(name);
  }
  return checked;
}

describe('the chart', () => {
  it('is what helm lint likes, with no values at all', async () => {
    expect(await helm('lint', '--strict', CHART)).toContain('0 chart(s) failed');
  });

  it.each([
    ['no values', []],
    ['everything on', EVERYTHING],
  ])('makes objects that the API server takes, with %s', async (_what, values) => {
    const set = values.flatMap((value) => ['--set', value]);
    const rendered = await helm('template', 'shoal', CHART, '--namespace', 'shoal', '--include-crds', ...set);
    const checked = await dryRunAll(rendered);
    for (const kind of [
      'DaemonSet',
      'Deployment',
      'StatefulSet',
      'CustomResourceDefinition',
      'PodDisruptionBudget',
    ])
      expect(checked.some((name) => name.startsWith(`${kind} `))).toBe(true);
  });
});

describe('the plain manifests', () => {
  it('are objects that the API server takes', async () => {
    const files = (await readdir(MANIFESTS)).filter((file) => file.endsWith('.yaml'));
    expect(files.length).toBeGreaterThan(0);
    for (const file of files)
      expect(await dryRunAll(await readFile(join(MANIFESTS, file), 'utf8'))).not.toEqual([]);
  });
});
