import { Type } from 'typebox';
import type { Static } from 'typebox';
import { Compile } from 'typebox/compile';

import { formatBytes, formatCount, formatLimit } from './format-bytes.ts';

const Rate = Type.Union([Type.Number(), Type.Null()]);
const Limits = Type.Object({ downloadBytesPerSecond: Rate, uploadBytesPerSecond: Rate });
const Members = Type.Object({ members: Type.Array(Type.String()), reachable: Type.Boolean() });

/** What an agent, or an origin, says of itself; an origin says nothing of doors and other members. */
const Status = Type.Object({
  store: Type.Object({
    blobs: Type.Number(),
    bytes: Type.Number(),
    partialBytes: Type.Number(),
    quotaBytes: Type.Number(),
    evictions: Type.Number(),
    refusals: Type.Number(),
  }),
  limits: Limits,
  swarm: Type.Object({ downloading: Type.Number(), connections: Type.Number(), seeded: Type.Number() }),
  trackers: Type.Optional(Members),
  origins: Type.Optional(Members),
  pulls: Type.Optional(Type.Number()),
  requests: Type.Optional(Type.Number()),
  reads: Type.Optional(Type.Number()),
});
const Pruned = Type.Object({
  blobs: Type.Number(),
  bytes: Type.Number(),
  inUse: Type.Number(),
});
type Status = Static<typeof Status>;

const StatusAnswer = Compile(Status);
const LimitsAnswer = Compile(Limits);
const PrunedAnswer = Compile(Pruned);

/** The part that answers is not of this version. */
function otherVersion(answer: unknown): Error {
  return new Error(`the agent is of another version; it says: ${JSON.stringify(answer)}`);
}

/**
 * A part's status for people: a line that sums it up, then one aligned line for each matter.
 * @throws Error where the answer is not of that form
 */
export function describeStatus(answer: unknown): string {
  if (!StatusAnswer.Check(answer)) throw otherVersion(answer);
  const rows = rowsOf(answer);
  const width = Math.max(...rows.map(([name]) => name.length));
  return [summaryOf(answer), '', ...rows.map(([name, text]) => `${name.padEnd(width)}  ${text}`)].join('\n');
}

/** What `limits` has set. @throws Error where the answer is not of that form */
export function describeLimits(answer: unknown): string {
  if (!LimitsAnswer.Check(answer)) throw otherVersion(answer);
  const { downloadBytesPerSecond, uploadBytesPerSecond } = answer;
  return `download ${formatLimit(downloadBytesPerSecond)}, upload ${formatLimit(uploadBytesPerSecond)}`;
}

/** What `prune` has removed. @throws Error where the answer is not of that form */
export function describePruned(answer: unknown): string {
  if (!PrunedAnswer.Check(answer)) throw otherVersion(answer);
  const { blobs, bytes, inUse } = answer;
  const kept = inUse === 0 ? '' : `; ${formatCount(inUse, 'blob')} in use, kept`;
  return `removed ${formatCount(blobs, 'blob')}, ${formatBytes(bytes)}${kept}`;
}

function summaryOf({ store, pulls, reads, trackers, origins }: Status): string {
  const running = pulls ?? reads ?? 0;
  const doing = running === 0 ? 'idle' : formatCount(running, pulls === undefined ? 'read' : 'pull');
  const trouble = [
    ...(isSilent(trackers) ? ['no tracker answers'] : []),
    ...(isSilent(origins) ? ['no origin answers'] : []),
  ];
  const holds = `holds ${formatCount(store.blobs, 'blob')}, ${formatBytes(store.bytes)}`;
  return [doing, holds, ...trouble].join('; ');
}

function rowsOf({
  store,
  limits,
  swarm,
  trackers,
  origins,
  pulls,
  requests,
  reads,
}: Status): [string, string][] {
  const used = Math.round((100 * (store.bytes + store.partialBytes)) / Math.max(1, store.quotaBytes));
  const rows: [string, string][] = [];
  if (pulls !== undefined)
    rows.push(['pulls', `${pulls} running, ${formatCount(requests ?? 0, 'request')} at the door`]);
  if (reads !== undefined) rows.push(['reads', `${reads} from registries`]);
  rows.push([
    'store',
    [
      `${formatBytes(store.bytes)} of ${formatBytes(store.quotaBytes)} (${used} %)`,
      `${formatBytes(store.partialBytes)} half done`,
      `${formatCount(store.evictions, 'blob')} evicted`,
      ...(store.refusals > 0 ? [`${formatCount(store.refusals, 'blob')} not kept for want of room`] : []),
    ].join(', '),
  ]);
  const peers = formatCount(swarm.connections, 'connection');
  rows.push([
    'swarm',
    `${formatCount(swarm.seeded, 'blob')} offered, ${swarm.downloading} downloading, ${peers}`,
  ]);
  if (trackers) rows.push(['trackers', membersText(trackers)]);
  if (origins) rows.push(['origins', membersText(origins)]);
  rows.push(['limits', describeLimits(limits)]);
  return rows;
}

function isSilent(members: Status['origins']): boolean {
  return members !== undefined && members.members.length > 0 && !members.reachable;
}

function membersText({ members, reachable }: NonNullable<Status['origins']>): string {
  if (members.length === 0) return 'none known';
  return `${members.join(', ')} (${reachable ? 'reachable' : 'none answers'})`;
}
