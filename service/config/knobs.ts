import { Type } from 'typebox';

import { LABEL } from '../discovery/member-entry.ts';
import { parseDuration, parseRate, parseSize } from './units.ts';

/** What the number of a knob counts. In files it is written with its unit, and the knob's name goes without the suffix. */
export type Unit = 'bytes' | 'bytes/s' | 'ms';

/** The property of a typed configuration carries its unit in its name; the knob in files does not. */
export const UNIT_SUFFIXES: Readonly<Record<Unit, string>> = {
  bytes: 'Bytes',
  'bytes/s': 'BytesPerSecond',
  ms: 'Ms',
};

interface Quantity {
  readonly description: string;
  readonly default?: string;
  readonly minimum: string;
  readonly maximum: string;
}

function quantity(unit: Unit, parse: (text: string) => number, options: Quantity) {
  return Type.Integer({
    unit,
    description: options.description,
    minimum: parse(options.minimum),
    maximum: parse(options.maximum),
    ...(options.default !== undefined && { default: parse(options.default) }),
  });
}

/** Bytes; the property's name must end in `Bytes`. */
export const size = (options: Quantity) => quantity('bytes', parseSize, options);
/** Bytes per second; the property's name must end in `BytesPerSecond`. */
export const rate = (options: Quantity) => quantity('bytes/s', parseRate, options);
/** Milliseconds; the property's name must end in `Ms`. */
export const duration = (options: Quantity) => quantity('ms', parseDuration, options);

export const count = (options: { description: string; default: number; minimum: number; maximum: number }) =>
  Type.Integer(options);

export const flag = (options: { description: string; default: boolean }) => Type.Boolean(options);

export const text = (options: {
  description: string;
  default?: string;
  defaultText?: string;
  allowed?: string;
  pattern?: string;
}) => Type.String({ minLength: 1, maxLength: 4096, ...options });

export const choice = <const T extends string[]>(
  values: [...T],
  options: { description: string; default: T[number] },
) => Type.Enum(values, options);

const PORT = '(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])';
const PLACE = `(?:\\[[0-9A-Fa-f:.%]+\\]|[A-Za-z0-9._-]+):${PORT}`;
const HOST_PORT = `^${PLACE}$`;
const HOST_PORT_ALLOWED = 'host:port, or [address]:port for IPv6';

/** A place to listen at or to reach. */
export const hostPort = (options: { description: string; default?: string }) =>
  Type.String({ pattern: HOST_PORT, allowed: HOST_PORT_ALLOWED, ...options });

const BY_NAME = `(?:dns\\+)?${PLACE}|dnssrv\\+_${LABEL}\\._(?:tcp|udp)\\.[A-Za-z0-9][A-Za-z0-9.-]*`;
const BY_ENDPOINTS = `endpoints\\+${LABEL}/${LABEL}:${LABEL}`;
const BY_NAME_ALLOWED =
  'host:port, dns+NAME:PORT (all its addresses) or dnssrv+_PORT._tcp.NAME (all its targets)';
const BY_ENDPOINTS_ALLOWED = 'endpoints+NAMESPACE/SERVICE:PORTNAME (Kubernetes)';

/**
 * Members of a kind, named one by one or by what names them all.
 * @param options.endpoints whether Kubernetes may be asked for them
 */
export const members = ({ description, endpoints }: { description: string; endpoints: boolean }) =>
  Type.Array(Type.String({ pattern: `^(?:${BY_NAME}${endpoints ? `|${BY_ENDPOINTS}` : ''})$` }), {
    maxItems: 256,
    default: [],
    allowed: `a list, at most 256 entries long, of ${BY_NAME_ALLOWED}${endpoints ? ` or ${BY_ENDPOINTS_ALLOWED}` : ''}`,
    description,
  });

export const texts = (options: { description: string; pattern?: string; allowed: string }) => {
  const { pattern, ...rest } = options;
  const item = Type.String({ minLength: 1, maxLength: 1024, ...(pattern !== undefined && { pattern }) });
  return Type.Array(item, { maxItems: 256, default: [], ...rest });
};
