import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../demo/free-port.ts';
import type { Cluster } from '../runtimes/cluster.ts';
import type { Part } from '../runtimes/part.ts';
import { startDaemon, type Daemon } from '../runtimes/program.ts';

export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Debian's Prometheus on loopback. */
export interface Prometheus extends AsyncDisposable {
  /** An instant query. @throws Error with Prometheus' own message for one that is malformed. */
  query(expression: string): Promise<Sample[]>;
}

const INTERVAL = '1s';

/**
 * Scrapes every part of a cluster once a second under the jobs and labels that the chart gives them.
 * @param ruleFiles absolute paths.
 */
export async function startPrometheus(
  directory: string,
  cluster: Cluster,
  ruleFiles: readonly string[],
): Promise<Prometheus> {
  const data = join(directory, 'prometheus');
  await mkdir(data, { recursive: true });
  const port = await freePort();
  const config = join(directory, 'prometheus.yaml');
  const { tracker, origins, agents } = cluster;
  // JSON is YAML 1.2.
  const text = JSON.stringify({
    global: { scrape_interval: INTERVAL, scrape_timeout: INTERVAL, evaluation_interval: INTERVAL },
    rule_files: ruleFiles,
    scrape_configs: [
      job('shoal-tracker', [tracker]),
      job('shoal-origin', origins),
      job('shoal-agent', agents),
    ],
  });
  await writeFile(config, text);
  const url = `http://127.0.0.1:${port}`;
  const options = [
    `--config.file=${config}`,
    `--storage.tsdb.path=${data}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ];
  const daemon: Daemon = await startDaemon(
    ['prometheus', ...options],
    async () => (await fetch(`${url}/-/ready`)).ok,
  );
  return {
    query: (expression) => query(url, expression),
    [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
  };
}

function job(name: string, parts: readonly Part[]): object {
  return { job_name: name, static_configs: parts.map(target) };
}

function target({ name: node, statusUrl }: Part): object {
  return { targets: [new URL(statusUrl).host], labels: { cluster: 'test', node } };
}

interface Answer {
  status: string;
  error?: string;
  data: { result: { metric: Record<string, string>; value: [number, string] }[] };
}

async function query(url: string, expression: string): Promise<Sample[]> {
  const response = await fetch(`${url}/api/v1/query`, {
    method: 'POST',
    body: new URLSearchParams({ query: expression }),
  });
  const { status, error, data }: Answer = JSON.parse(await response.text());
  if (status !== 'success') throw new Error(`${error}: ${expression}`);
  return data.result.map(({ metric, value: [, value] }) => ({ metric, value: Number(value) }));
}
