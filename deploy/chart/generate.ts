import { readFileSync, writeFileSync } from 'node:fs';

import { NODE_KINDS } from '#cli/runtimes/nodes.ts';

import { knobFacts } from './knob-facts.ts';
import { valuesReference, valuesSchema, valuesYaml } from './values-files.ts';
import { VALUES } from './values.ts';

/** What the chart's templates know of kinds of nodes: the runtime, and the directories that a container is given. */
function nodeKinds(): string {
  const kinds = Object.entries(NODE_KINDS).map(([name, { runtime, directories }]) => [
    name,
    { runtime, directories },
  ]);
  return `${JSON.stringify(Object.fromEntries(kinds), undefined, 2)}\n`;
}

const PROJECT = new URL('../../', import.meta.url);

/** What the chart installs and others take as a file: a packed chart has nothing from outside its folder. */
const COPIED = [
  'deploy/grafana/registry-offload.json',
  'deploy/prometheus/alerts.yaml',
  'deploy/prometheus/recording.yaml',
];

/** Files made from sources elsewhere in the project, by path from its root. */
export function generateFiles(): Readonly<Record<string, string>> {
  const copies = COPIED.map((path) => [
    path.replace(/^.*\//, 'charts/shoal/files/'),
    readFileSync(new URL(path, PROJECT), 'utf8'),
  ]);
  return {
    ...Object.fromEntries(copies),
    'charts/shoal/values.yaml': valuesYaml(VALUES),
    'charts/shoal/values.schema.json': valuesSchema(VALUES),
    'charts/shoal/files/knobs.json': knobFacts(),
    'charts/shoal/files/nodes.json': nodeKinds(),
    'docs/values.md': valuesReference(VALUES),
  };
}

if (import.meta.main)
  for (const [path, text] of Object.entries(generateFiles())) writeFileSync(new URL(path, PROJECT), text);
