/** A cluster key or certificate that cannot be used. Says which file, never what is in it. */
export class IdentityError extends Error {
  override readonly name = 'IdentityError';
}
