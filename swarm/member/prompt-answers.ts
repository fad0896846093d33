import type { FastifyInstance } from 'fastify';
import { loopRest } from '#swarm/wire/loop-rest.ts';

/** The event loop takes no rests while the server answers, but for when the answer waits for a piece. */
export function answerPromptly(server: FastifyInstance): void {
  server.addHook('onRequest', (_request, reply, done) => {
    loopRest.keepAwake();
    reply.raw.once('close', () => loopRest.letRest());
    done();
  });
}
