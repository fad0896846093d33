import type { Static, TSchema } from 'typebox';
import { Check } from 'typebox/value';

import { AgentSchema } from './agent.ts';
import type { AgentConfig } from './agent.ts';
import { ConfigError } from './config-error.ts';
import { readKnobs } from './file.ts';
import { leavesOf } from './leaves.ts';
import type { KnobSchema, Leaf } from './leaves.ts';
import { OriginSchema } from './origin.ts';
import type { OriginConfig } from './origin.ts';
import { readTakenPorts } from './ports.ts';
import type { TakenPorts } from './ports.ts';
import { checkAgent, checkOrigin, checkTracker } from './rules.ts';
import { TrackerSchema } from './tracker.ts';
import type { TrackerConfig } from './tracker.ts';
import { readValue } from './values.ts';

export interface Configs {
  agent: AgentConfig;
  origin: OriginConfig;
  tracker: TrackerConfig;
}
export type Part = keyof Configs;

export interface ConfigSources {
  /** YAML file. */
  readonly file?: string;
  /** The environment: `SHOAL_DOOR_LISTEN` for `door.listen`, lists separated by commas. Default none. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** `{'door.listen': '127.0.0.1:29500'}`. */
  readonly flags?: Readonly<Record<string, string>>;
  /** What the kernel may give to others; default this machine's. */
  readonly takenPorts?: () => TakenPorts;
}

export const SCHEMAS: Readonly<Record<Part, TSchema>> = {
  agent: AgentSchema,
  origin: OriginSchema,
  tracker: TrackerSchema,
};

/**
 * The typed, frozen configuration of a part. Flags count before the environment, that before the file, that before the defaults.
 * @throws ConfigError naming the knob, its value, where it stands and what is allowed.
 */
export function loadConfig<P extends Part>(part: P, sources: ConfigSources): Configs[P];
export function loadConfig(part: Part, sources: ConfigSources): Configs[Part] {
  const values = assemble(SCHEMAS[part], readLeaves(part, sources));
  const taken = sources.takenPorts ?? readTakenPorts;
  switch (part) {
    case 'agent':
      return freeze(checked(AgentSchema, values, (config) => checkAgent(config, taken)));
    case 'origin':
      return freeze(checked(OriginSchema, values, checkOrigin));
    default:
      return freeze(checked(TrackerSchema, values, checkTracker));
  }
}

/** Every leaf was checked where it was read; this is where the type is won. */
function checked<S extends TSchema>(
  schema: S,
  value: unknown,
  rules: (config: Static<S>) => void,
): Static<S> {
  if (!Check(schema, value)) throw new ConfigError('the configuration is not whole');
  rules(value);
  return value;
}

/** The value of each knob that is set or has a default. */
function readLeaves(part: Part, sources: ConfigSources): Map<KnobSchema, unknown> {
  const leaves = leavesOf(SCHEMAS[part]);
  const values = new Map<KnobSchema, unknown>();
  const set = (leaf: Leaf, raw: unknown, isText: boolean, source: string): void => {
    values.set(leaf.schema, readValue(leaf, raw, isText, source));
  };
  const { file, env = {}, flags = {} } = sources;
  const inFile = file === undefined ? new Map<string, unknown>() : readKnobs(file, leaves);
  refuseUnknownVariables(env);
  refuseUnknownFlags(flags, leaves, part);
  for (const leaf of leaves) {
    const { knob } = leaf;
    if (flags[knob] !== undefined) set(leaf, flags[knob], true, `flag --${knob}`);
    else if (env[leaf.env] !== undefined) set(leaf, env[leaf.env], true, leaf.env);
    else if (isSet(inFile.get(knob))) set(leaf, inFile.get(knob), false, file ?? '');
    else if (leaf.schema.default !== undefined) values.set(leaf.schema, structuredClone(leaf.schema.default));
    else if (leaf.required)
      throw new ConfigError(`${knob} is not set: ${leaf.schema.allowed ?? 'a value'} is needed`);
  }
  return values;
}

/** A key without a value in YAML is null and means not set. */
function isSet(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** Variables that are no knobs: read by the command line itself. */
const OTHER_VARIABLES = new Set(['SHOAL_CONFIG', 'SHOAL_DEBUG', 'SHOAL_AGENT']);
/** Kubernetes gives such variables to every pod for a Service whose name begins with "shoal-". */
const SERVICE_LINK =
  /_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP)(?:_(?:PROTO|PORT|ADDR))?)?)$/;

function refuseUnknownVariables(env: Readonly<Record<string, string | undefined>>): void {
  const known = new Set(Object.values(SCHEMAS).flatMap((schema) => leavesOf(schema).map((leaf) => leaf.env)));
  for (const name of Object.keys(env)) {
    if (!name.startsWith('SHOAL_') || known.has(name) || OTHER_VARIABLES.has(name) || SERVICE_LINK.test(name))
      continue;
    throw new ConfigError(
      `the environment variable ${name} is not a knob of any part (see docs/configuration.md)`,
    );
  }
}

function refuseUnknownFlags(
  flags: Readonly<Record<string, string>>,
  leaves: readonly Leaf[],
  part: Part,
): void {
  const unknown = Object.keys(flags).find((flag) => !leaves.some((leaf) => leaf.knob === flag));
  if (unknown !== undefined)
    throw new ConfigError(`--${unknown} is not a knob of the ${part} (see docs/configuration.md)`);
}

/** Values by their knob's schema, put where the schema has them; groups are there even when empty. */
function assemble(schema: KnobSchema, values: ReadonlyMap<KnobSchema, unknown>): Record<string, unknown> {
  const entries = Object.entries(schema.properties ?? {}).map(([name, inner]): [string, unknown] => [
    name,
    inner.properties ? assemble(inner, values) : values.get(inner),
  ]);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(freeze);
  return Object.freeze(value);
}
