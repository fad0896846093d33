/** How often open connections are looked over. Milliseconds. */
const EVERY_MS = 1000;

interface Connection {
  destroy(): unknown;
  once(event: 'close', listener: () => void): unknown;
}

/**
 * Open connections, each ended soon after what proved it counts no more: a key that was taken out, a certificate that
 * ended. They are looked over while there are any; what goes through them is not touched.
 */
export class ProvenConnections {
  readonly #open = new Map<Connection, () => boolean>();
  #timer: NodeJS.Timeout | undefined;

  /** @param isBelieved whether its proof still counts; must be cheap, and never throw */
  add(connection: Connection, isBelieved: () => boolean): void {
    this.#open.set(connection, isBelieved);
    connection.once('close', () => this.#forget(connection));
    this.#timer ??= setInterval(() => this.#look(), EVERY_MS).unref();
  }

  #look(): void {
    for (const [connection, isBelieved] of this.#open) if (!isBelieved()) connection.destroy();
  }

  #forget(connection: Connection): void {
    this.#open.delete(connection);
    if (this.#open.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
