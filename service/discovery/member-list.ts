/** Members of one kind, as far as they are known now. */
export interface MemberList {
  /** `host:port` of each, once, in an order that is the same for everyone who knows the same members. */
  readonly current: readonly string[];
  /** Calls the listener after each change, until what is returned is disposed. */
  onChange(listener: () => void): Disposable;
}

/** One way to learn of members. */
export interface MemberSource {
  /** `host:port` of each; undefined until the first answer. What was once known stays until another answer comes. */
  readonly members: readonly string[] | undefined;
  /** IP addresses of a member's host, where the source knows them; else its name is for the resolver. */
  addressesOf(host: string): readonly string[] | undefined;
}

/** A source that is followed from its beginning to its end. */
export interface WatchedSource extends MemberSource, AsyncDisposable {
  /** Resolves after the first answer; rejects where the end comes before. */
  readonly synced: Promise<void>;
}

/** A list that never changes. */
export function fixedMembers(members: readonly string[]): MemberList {
  return { current: members, onChange: () => ({ [Symbol.dispose]: () => undefined }) };
}
