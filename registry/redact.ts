const URL_IN_TEXT = /\bhttps?:\/\/[^\s"'<>\\]+/giu;
const CREDENTIAL_IN_TEXT = /\b(?<scheme>bearer|basic)\s+[\w\-.~+/]{8,}=*/giu;
// Control and bidirectional-formatting characters: remote text must not steer a terminal or a log.
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu;

/** The URL without what may be secret: user information, query (presigned URLs carry their signature there), fragment. */
export function redactUrl(url: URL | string): string {
  const parsed = typeof url === 'string' ? URL.parse(url) : url;
  if (parsed === null) return '(not a URL)';
  return `${parsed.protocol}//${parsed.host}${parsed.pathname}${parsed.search === '' ? '' : '?…'}`;
}

/**
 * Text of a remote made fit for a message or a log line: at most `limit` characters, no control
 * characters, no query strings, no Bearer or Basic credentials.
 */
export function redactText(text: string, limit = 200): string {
  const clean = text
    .slice(0, 16 * limit)
    .replace(UNPRINTABLE, ' ')
    .replace(URL_IN_TEXT, (url) => redactUrl(url))
    .replace(CREDENTIAL_IN_TEXT, '$<scheme> …')
    .trim();
  return clean.length > limit ? `${clean.slice(0, limit)}…` : clean;
}

/** Bad input as it is shown in an error: quoted, escaped, at most `limit` characters. */
export function quote(text: string, limit = 100): string {
  return JSON.stringify(text.length > limit ? `${text.slice(0, limit)}…` : text);
}

/** What an error says, fit for a message: its text, else its code (an AggregateError of sockets has no text), else its name. */
export function describeError(error: unknown, limit = 200): string {
  if (!(error instanceof Error)) return 'failed';
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return redactText(error.message === '' ? code : error.message, limit);
}
