import type { Socket } from 'node:net';
import { STATUS_CODES } from 'node:http';

import { OciError, ociErrorBody } from '#registry/oci-error.ts';

/**
 * Answers what Node's parser did not take for a request, in the OCI error format like all else, and ends the
 * connection: where the next request would begin is not known.
 */
export function answerMalformed(error: Error & { code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
  const shown = describe(error);
  const body = JSON.stringify(ociErrorBody(shown));
  const head = [
    `HTTP/1.1 ${shown.status} ${STATUS_CODES[shown.status]}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

function describe({ code }: { code?: string }): OciError {
  switch (code) {
    case 'HPE_INVALID_METHOD':
      return new OciError('UNSUPPORTED', 'the method is none of HTTP', { status: 400 });
    case 'HPE_HEADER_OVERFLOW':
      return new OciError('UNSUPPORTED', 'the headers are too long', { status: 431 });
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new OciError('UNSUPPORTED', 'the request did not arrive in time', { status: 408 });
    default:
      return new OciError('UNSUPPORTED', 'the request is not HTTP/1.1', { status: 400 });
  }
}
