import type { FastifyInstance } from 'fastify';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Makes `app.close()` end in bounded time: sockets without an answer under way (keep-alive, half a request, half a TLS handshake)
 * are closed at once, the others when their answer is done or after `graceMs`.
 */
export function boundClose(app: FastifyInstance, graceMs: number): void {
  const sockets = new Set<Socket>();
  let answering = 0;
  let closing = false;
  let grace: NodeJS.Timeout | undefined;
  const cut = (): void => sockets.forEach((socket) => socket.destroySoon());

  app.server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  app.server.on('request', (_request, response: ServerResponse) => {
    answering += 1;
    response.once('close', () => {
      answering -= 1;
      if (closing && answering === 0) cut();
    });
  });
  app.addHook('preClose', (done) => {
    closing = true;
    if (answering === 0) cut();
    else grace = setTimeout(() => sockets.forEach((socket) => socket.destroy()), graceMs);
    done();
  });
  app.addHook('onClose', (_app, done) => {
    clearTimeout(grace);
    done();
  });
}
