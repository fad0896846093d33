import { causesOf, codeOf } from './as-error.ts';
import { redactText } from './redact.ts';
import { UpstreamProtocolError, UpstreamUnreachableError } from './upstream-error.ts';

/** Codes of sockets, DNS, TLS, llhttp and undici, by what they mean to who operates the registry. */
const MEANINGS: readonly (readonly [code: RegExp, meaning: string])[] = [
  [/^ECONNREFUSED$/u, 'the connection was refused'],
  [/^(?:ENOTFOUND|EAI_AGAIN)$/u, 'its name cannot be looked up'],
  [/^(?:EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENETDOWN)$/u, 'there is no route to it'],
  [/^(?:ETIMEDOUT|UND_ERR_(?:BODY|CONNECT|HEADERS)_TIMEOUT)$/u, 'it did not answer in time'],
  [/^UND_ERR_PRX/u, 'the proxy did not let the request through'],
  [/^(?:CERT_|ERR_TLS_CERT|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_)/u, 'its certificate is not trusted'],
  [/^(?:ERR_SSL_|EPROTO$)/u, 'TLS with it failed'],
  [/^(?:HPE_|HTTPParserError$)/u, 'its answer is not HTTP'],
  [/^(?:ECONNRESET|ECONNABORTED|EPIPE|UND_ERR_SOCKET)$/u, 'it cut the connection'],
];

/** OpenSSL's words for a first byte that is none of TLS: an HTTP server that was sent a ClientHello answers in plain text. */
const NO_TLS = /^ERR_SSL_(?:WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|UNEXPECTED_MESSAGE|HTTP_REQUEST)$/u;

/**
 * What kind of failure kept a registry from answering, for whoever asked: no URL's query, no credential, no text of
 * the registry's own. Undefined where the error is not the registry's.
 */
export function describeUpstreamFault(error: unknown): string | undefined {
  for (const cause of causesOf(error)) {
    const fault = faultOf(cause);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function faultOf(error: Error): string | undefined {
  if (error instanceof UpstreamUnreachableError)
    return error.status === undefined
      ? faultOfSocket(error)
      : `${error.host ?? 'it'} answered ${error.status}`;
  if (error instanceof UpstreamProtocolError) {
    const { plainHost, message } = error;
    if (plainHost !== undefined)
      return `it leads to ${plainHost} over plain HTTP, which is for hosts with upstreams.hosts.${plainHost}.plainHttp`;
    return `its answer breaks the protocol: ${redactText(message)}`;
  }
  return error.name === 'TimeoutError' ? 'it did not answer in time' : undefined;
}

function faultOfSocket({ host, cause }: UpstreamUnreachableError): string {
  const codes = codesOf(cause);
  if (codes.some((code) => NO_TLS.test(code))) {
    const knob = host === undefined ? 'plainHttp' : `upstreams.hosts.${host}.plainHttp`;
    return `TLS was expected, but it speaks plain HTTP: if it is to, set ${knob}`;
  }
  for (const [expression, meaning] of MEANINGS) {
    const code = codes.find((one) => expression.test(one));
    if (code !== undefined) return `${meaning} (${code})`;
  }
  return 'it cannot be reached';
}

/** Codes of the error and of what caused it; the name where there is none. */
function codesOf(error: unknown): string[] {
  return Array.from(causesOf(error), (cause) => codeOf(cause) || cause.name);
}
