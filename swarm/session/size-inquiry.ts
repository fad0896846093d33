import type { PeerTransport } from '#swarm/wire/transport.ts';
import type { ExtendedHandshake, WireHandler } from '#swarm/wire/wire.ts';
import type { DialTarget } from './addresses.ts';

/** Hears one thing of a connection: how many bytes the other side says that the blob has. */
class Inquiry implements WireHandler {
  readonly #answer = Promise.withResolvers<number>();

  get answer(): Promise<number> {
    return this.#answer.promise;
  }

  onExtendedHandshake({ shoal }: ExtendedHandshake): void {
    if (shoal?.blobSize === undefined) this.#answer.reject(new Error('the peer does not tell the size'));
    else this.#answer.resolve(shoal.blobSize);
  }

  onClose(error?: Error): void {
    this.#answer.reject(error ?? new Error('the peer hung up'));
  }

  blockTarget(): undefined {
    return undefined;
  }

  onChoke(): void {}
  onUnchoke(): void {}
  onInterested(): void {}
  onUninterested(): void {}
  onHave(): void {}
  onBitfield(): void {}
  onHaveAll(): void {}
  onHaveNone(): void {}
  onRequest(): void {}
  onCancel(): void {}
  onReject(): void {}
  onBlock(): void {}
  onExtension(): void {}
  onDrain(): void {}
}

/**
 * The size of a blob as a member that has it tells it, in bytes: a hint, which the digest proves in the end.
 * @throws HandshakeError, Error, or the signal's reason
 */
export async function askSize(
  transport: Pick<PeerTransport, 'dial'>,
  target: DialTarget,
  signal: AbortSignal,
): Promise<number> {
  const wire = await transport.dial(target, signal);
  const inquiry = new Inquiry();
  const abort = (): void => wire.close(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    wire.start(inquiry);
    return await inquiry.answer;
  } finally {
    signal.removeEventListener('abort', abort);
    wire.close();
  }
}
