import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { ask, pullImage } from '../runtimes/door.ts';
import { keepLogsOnFailure } from '../runtimes/failure-logs.ts';
import { basic } from '../runtimes/images.ts';
import { attempt } from '../runtimes/program.ts';
import { startPrometheus, type Prometheus, type Sample } from './prometheus.ts';
import { startScene, type Scene } from '../runtimes/scene.ts';

const DEPLOY = fileURLToPath(new URL('../../deploy', import.meta.url));
const RULES = ['recording', 'alerts'].map((name) => `${DEPLOY}/prometheus/${name}.yaml`);
const ALICE = { user: 'alice', password: 'right' };
const LAYERS = [12_000_000, 3_000_000] as const;
/** Enough blobs for each origin to own one. */
const WARM = Array.from({ length: 6 }, () => 300_000);
/** Of the windows that Grafana would choose, what fits a test. */
const VARIABLES: Readonly<Record<string, string>> = {
  __rate_interval: '1m',
  __range: '2m',
  cluster: '.*',
  registry: '.*',
  node: '.*',
  price: '0.01',
};

interface Panel {
  title: string;
  targets: { expr: string }[];
}
interface Rule {
  record?: string;
  alert?: string;
  expr: string;
}

const dashboard: { panels: Panel[]; templating: { list: { type: string; query: { query?: string } }[] } } =
  JSON.parse(readFileSync(`${DEPLOY}/grafana/registry-offload.json`, 'utf8'));
const rules = RULES.flatMap((path) => {
  const { groups }: { groups: { rules: Rule[] }[] } = parse(readFileSync(path, 'utf8'));
  return groups.flatMap((group) => group.rules);
});

const filled = (expression: string): string =>
  expression.replaceAll(/\$(\w+)/g, (all, name: string) => VARIABLES[name] ?? all);

/** The series that an expression is made of: names with their labels, apart from functions, durations and what it is grouped by. */
function selectorsOf(expression: string): string[] {
  const names = /\b(?:shoal_\w+|process_\w+|up|\w+:shoal_[\w:]+)(?:\{[^}]*\})?/g;
  return [...new Set(expression.match(names) ?? [])];
}

let scene: Scene;
let prometheus: Prometheus;

beforeAll(async () => {
  scene = await startScene({
    auth: { kind: 'htpasswd', ...ALICE },
    credentials: ALICE,
    cluster: { agents: 3 },
  });
  prometheus = await startPrometheus(scene.directory, scene.cluster, RULES);
  await sleep(3000); // counters that begin later have a sample before their first event
  await haveEverythingHappen();
  await sleep(3000); // the last of it is scraped
});
afterAll(async () => {
  await prometheus?.[Symbol.asyncDispose]();
  await scene?.[Symbol.asyncDispose]();
});

/** A pull by all, a stranger, agents left to themselves, and a registry that is gone. */
async function haveEverythingHappen(): Promise<void> {
  const { agents, origins } = scene.cluster;
  const warm = await scene.push('team/warm', WARM);
  const [first, second] = [await scene.push('team/app', LAYERS), await scene.push('team/late', LAYERS)];
  const as = (repository: string, user = ALICE) => scene.asked(repository, basic(user));
  // What a registry sends is a series that begins with the first of it, which no rate sees.
  await Promise.all(agents.map((agent) => pullImage(agent.door, warm.tag, as(warm.repository))));
  await sleep(2000);
  await Promise.all(agents.map((agent) => pullImage(agent.door, first.tag, as(first.repository))));
  await sleep(2000);
  await ask(
    scene.agent(0).door,
    `manifests/${first.tag}`,
    as(first.repository, { ...ALICE, password: 'wrong' }),
  );
  await pullImage(scene.agent(1).door, first.tag, as(first.repository));
  for (const origin of origins) await origin.stop();
  await pullImage(scene.agent(2).door, second.tag, as(second.repository));
  for (const origin of origins) await origin.start();
  await sleep(2000);
}

/** What an expression returns, without what is no number. */
async function dataOf(expression: string): Promise<Sample[]> {
  const samples = await prometheus.query(expression);
  return samples.filter(({ value }) => Number.isFinite(value));
}

const queries = dashboard.panels.flatMap(({ title, targets }) =>
  targets.map(({ expr }) => [title, expr] as const),
);

describe('the dashboard', () => {
  test.each(queries)('shows data: %s', async (_title, expression) => {
    keepLogsOnFailure(scene.cluster, scene.registry);
    expect(await dataOf(filled(expression))).not.toEqual([]);
  });

  test('finds clusters, registries and nodes to choose from', async () => {
    for (const { query } of dashboard.templating.list.filter(({ type }) => type === 'query')) {
      const [, series = '', label = ''] = /^label_values\((.+), (\w+)\)$/.exec(query.query ?? '') ?? [];
      const found = await dataOf(`count by (${label}) (${filled(series)})`);
      expect(found.map(({ metric }) => metric[label])).toContainEqual(expect.stringMatching(/./));
    }
  });

  test('tells the offload as it is: three nodes took the image, the registry sent it once', async () => {
    const [spared] = await dataOf(filled(queries[0]![1]));
    expect(spared?.value).toBeGreaterThan(0.4);
    expect(spared?.value).toBeLessThan(0.8);
  });

  test('says which node, registry and source bytes are of', async () => {
    const sources = await prometheus.query('sum by (source) (shoal_agent_runtime_bytes_total)');
    expect(sources.map(({ metric }) => metric['source'])).toEqual(
      expect.arrayContaining(['cache', 'upstream']),
    );
  });
});

describe('the rules', () => {
  test('are well-formed, and do what their tests say', async () => {
    const check = await attempt(['promtool', 'check', 'rules', ...RULES]);
    expect(check).toMatchObject({ code: 0 });
    const tested = await attempt(['promtool', 'test', 'rules', `${DEPLOY}/prometheus/tests.yaml`]);
    expect(tested).toMatchObject({ code: 0 });
  });

  test.each(rules.flatMap(({ record, expr }) => (record === undefined ? [] : [[record, expr] as const])))(
    'record data: %s',
    async (record, expression) => {
      expect(await dataOf(expression)).not.toEqual([]);
      expect(await dataOf(record)).not.toEqual([]);
    },
  );

  test.each(rules.flatMap(({ alert, expr }) => (alert === undefined ? [] : [[alert, expr] as const])))(
    'watch series that there are: %s',
    async (_alert, expression) => {
      await prometheus.query(expression);
      expect(selectorsOf(expression).length).toBeGreaterThan(0);
      const missing: string[] = [];
      for (const selector of selectorsOf(expression))
        if ((await dataOf(selector)).length === 0) missing.push(selector);
      expect(missing).toEqual([]);
    },
  );
});
