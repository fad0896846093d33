import { MAX_FACTS, MAX_FACT_LENGTH } from './constants.ts';

/** What is known of a digest besides its bytes: who proved it, and where rights to it may be asked for. */
export interface Facts {
  /** Registries that delivered or proved these bytes; at most 64, the oldest out. */
  readonly registries: readonly string[];
  /** "registry/repository" known to hold the digest; at most 64, the oldest out. */
  readonly repositories: readonly string[];
  readonly mediaType?: string;
}

export const NO_FACTS: Facts = { registries: [], repositories: [] };

function mergeList(kept: readonly string[], added: readonly string[] | undefined): readonly string[] {
  const fresh = new Set((added ?? []).filter(isFact));
  for (const known of kept) fresh.delete(known);
  return fresh.size === 0 ? kept : [...kept, ...fresh].slice(-MAX_FACTS);
}

function isFact(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_FACT_LENGTH;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** The facts of both; the very object `kept` when the other one adds nothing. Overlong facts are left out. */
export function mergeFacts(kept: Facts, added: Partial<Facts>): Facts {
  const registries = mergeList(kept.registries, added.registries);
  const repositories = mergeList(kept.repositories, added.repositories);
  const mediaType = isFact(added.mediaType) ? added.mediaType : kept.mediaType;
  if (registries === kept.registries && repositories === kept.repositories && mediaType === kept.mediaType) {
    return kept;
  }
  return { registries, repositories, ...(mediaType === undefined ? {} : { mediaType }) };
}

/** The content of a blob's facts file: JSON with the blob's size beside its facts. */
export function encodeFacts(size: number, facts: Facts): string {
  return JSON.stringify({ size, ...facts });
}

/** Reads a facts file back; undefined when it is none, so that its blob has to prove itself again. */
export function decodeFacts(text: string): { size: number; facts: Facts } | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value)) return undefined;
  const { size, registries, repositories, mediaType } = value;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined;
  if (!Array.isArray(registries) || !Array.isArray(repositories)) return undefined;
  const facts = mergeFacts(NO_FACTS, {
    registries: registries.filter(isFact),
    repositories: repositories.filter(isFact),
    ...(isFact(mediaType) ? { mediaType } : {}),
  });
  return { size, facts };
}
