import { LABEL } from '#service/discovery/member-entry.ts';

/** What Kubernetes and registries take, as regular expressions without anchors; RE2 has them, too, as Helm needs it. */

/** RFC 1123 subdomain: most objects' names, DNS names in lower case. */
export const OBJECT_NAME = `${LABEL}(?:\\.${LABEL})*`;
/** RFC 1035 label: what a Service's name may be. */
export const SERVICE_NAME = '[a-z](?:[a-z0-9-]*[a-z0-9])?';
/** What may come after its first letter and a hyphen. */
export const SERVICE_NAME_PART = '[a-z0-9](?:[a-z0-9-]*[a-z0-9])?';

const LABEL_NAME = '[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?';
export const LABEL_KEY = `(?:${OBJECT_NAME}/)?${LABEL_NAME}`;
export const LABEL_VALUE = `(?:${LABEL_NAME})?`;

/** Factor of each suffix of a resource's quantity; a power of ten (`e9`) is written in its place. */
export const QUANTITY_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};
export const QUANTITY = `\\+?(?:[0-9]{1,30}(?:\\.[0-9]{0,30})?|\\.[0-9]{1,30})(?:${Object.keys(QUANTITY_UNITS).join('|')}|[eE][+-]?[0-9]{1,2})`;

/** Any but `.` and `..`, which would lead elsewhere; a colon ends the path of a mount. */
const PATH_CHARACTER = '[^/:\\x00-\\x1f\\x7f]';
const PATH_SEGMENT = `(?:\\.{0,2}[^./:\\x00-\\x1f\\x7f]${PATH_CHARACTER}*|\\.\\.\\.${PATH_CHARACTER}*)`;
export const ABSOLUTE_PATH = `(?:/+${PATH_SEGMENT})+/*`;

const OCTET = '(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';
const GROUP = '[0-9A-Fa-f]{1,4}';
/** RFC 4291, 2.2: eight groups, or fewer with one gap. */
const IPV6 = [
  `(?:${GROUP}:){7}${GROUP}`,
  `(?:${GROUP}:){1,7}:`,
  ...[1, 2, 3, 4, 5, 6].map((before) => `(?:${GROUP}:){1,${before}}(?::${GROUP}){1,${7 - before}}`),
  `:(?::${GROUP}){1,7}`,
  '::',
].join('|');
export const CIDR = `(?:${OCTET}\\.){3}${OCTET}/(?:3[0-2]|[12]?[0-9])|(?:${IPV6})/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9])`;

const HOST_LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?';
/** A registry as a runtime names it. */
export const REGISTRY = `(?:\\[[0-9A-Fa-f:.]+\\]|${HOST_LABEL}(?:\\.${HOST_LABEL})*)(?::[0-9]{1,5})?`;
const NAME_PART = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
/** An image's name: registry and repository, without tag (OCI distribution specification 1.1, "Pulling manifests"). */
export const IMAGE_NAME = `(?:${REGISTRY}/)?${NAME_PART}(?:/${NAME_PART})*`;
export const IMAGE_TAG = '[A-Za-z0-9_][A-Za-z0-9._-]{0,127}';
