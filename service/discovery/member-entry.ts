import { formatHostPort, parseHostPort } from '#service/host-port.ts';

/** How one entry of `trackers` or `origins` names members. */
export type MemberEntry =
  /** `host:port`: one member, reached by that very name. */
  | { readonly kind: 'fixed'; readonly member: string }
  /** `dns+NAME:PORT`: a member at each address of the name. */
  | { readonly kind: 'addresses'; readonly name: string; readonly port: number }
  /** `dnssrv+_SERVICE._tcp.NAME` (RFC 2782): a member for each target, by a name that outlives its address. */
  | { readonly kind: 'services'; readonly query: string; readonly name: string }
  /** `endpoints+NAMESPACE/SERVICE:PORTNAME`: Kubernetes' EndpointSlices of a headless Service. */
  | {
      readonly kind: 'endpoints';
      readonly namespace: string;
      readonly service: string;
      readonly portName: string;
    };

const NAME = '[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\\.?';
/** A label of a DNS name (RFC 1123), for regular expressions. */
export const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
const SERVICES = new RegExp(`^dnssrv\\+(?<query>_${LABEL}\\._(?:tcp|udp)\\.(?<name>${NAME}))$`, 'u');
const ENDPOINTS = new RegExp(
  `^endpoints\\+(?<namespace>${LABEL})/(?<service>${LABEL}):(?<portName>${LABEL})$`,
  'u',
);

/** @returns undefined if the text is none of them */
export function parseMemberEntry(text: string): MemberEntry | undefined {
  if (text.startsWith('dns+')) {
    const place = parseHostPort(text.slice('dns+'.length));
    return place === undefined ? undefined : { kind: 'addresses', name: place.host, port: place.port };
  }
  const services = SERVICES.exec(text)?.groups;
  if (services !== undefined) return { kind: 'services', query: services['query']!, name: services['name']! };
  const { namespace, service, portName } = ENDPOINTS.exec(text)?.groups ?? {};
  if (namespace !== undefined)
    return { kind: 'endpoints', namespace, service: service!, portName: portName! };
  const place = parseHostPort(text);
  return place === undefined ? undefined : { kind: 'fixed', member: formatHostPort(place) };
}
