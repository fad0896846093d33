import type { Authorization } from '#registry/upstream-answer.ts';

/** In whose name upstream is asked: one request of one runtime, as an agent handed it on. */
export interface Caller {
  readonly registry: string;
  readonly repository: string;
  /** The Authorization header as the runtime sent it. Never logged, kept in memory only. */
  readonly authorization?: string | undefined;
  /** The agent has upstream's own word that this caller may read the repository. */
  readonly positive: boolean;
}

export function inNameOf({ authorization }: Caller): Authorization {
  return { kind: 'forward', ...(authorization !== undefined && { authorization }) };
}

/** `registry/repository`, as facts name it. */
export function fullName({ registry, repository }: Pick<Caller, 'registry' | 'repository'>): string {
  return `${registry}/${repository}`;
}

export function isSameCredential(a: Caller, b: Caller): boolean {
  return a.repository === b.repository && a.authorization === b.authorization;
}
