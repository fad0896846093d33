import type { FastifyReply } from 'fastify';

/** Aborted when the one who asked has gone, or with the origin. */
export function signalOf(reply: FastifyReply, life: AbortSignal): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) gone.abort(new Error('the client has gone'));
  });
  return AbortSignal.any([life, gone.signal]);
}
