import type { Pull, Scenario } from './scenario.ts';

/**
 * What no way of distribution beats: the time of the agent that is last, from its own start on, in seconds.
 * max{F/u_s, F/d_min, N·F/(u_s + Σu_i)} (Kumar and Ross, 2006) for several blobs, sources and starts, and for each
 * zone that which has to come over its link. With starts far apart what all together need binds nobody.
 * @param ownerOf the origin that has each blob, by index
 */
export function lowerBound(scenario: Scenario, ownerOf: (blob: number) => number): number {
  const starts = scenario.pulls.map(({ at }) => at);
  const spread =
    starts.reduce((a, b) => Math.max(a, b), 0) - starts.reduce((a, b) => Math.min(a, b), Infinity);
  const together = Math.max(bySource(scenario, ownerOf), byAllUploads(scenario), byZones(scenario));
  return Math.max(together - spread, slowestAlone(scenario));
}

/** The least time in which one agent can have all that it asks for, from its first pull's start on. Seconds. */
export function ownBound({ blobs, agents }: Scenario, pulls: readonly Pull[]): number {
  const sorted = [...pulls].sort((a, b) => a.at - b.at);
  let busyUntil = 0;
  for (const { agent, at, blob } of sorted) {
    busyUntil = Math.max(busyUntil, at) + blobs[blob]! / agents[agent]!.down;
  }
  return busyUntil - (sorted[0]?.at ?? 0);
}

/** Each blob that no agent holds leaves its owner once. */
function bySource(
  { blobs, holders, origins, coldFrom = Infinity }: Scenario,
  ownerOf: (blob: number) => number,
): number {
  const held = new Set(holders.map(({ blob }) => blob));
  const bytes = origins.map(() => 0);
  for (const [blob, size] of blobs.entries()) if (!held.has(blob)) bytes[ownerOf(blob)]! += size;
  return Math.max(0, ...bytes.map((sum, origin) => sum / Math.min(origins[origin]!.up, coldFrom)));
}

function slowestAlone(scenario: Scenario): number {
  let slowest = 0;
  for (const pulls of Map.groupBy(scenario.pulls, ({ agent }) => agent).values())
    slowest = Math.max(slowest, ownBound(scenario, pulls));
  return slowest;
}

function byAllUploads({ pulls, blobs, agents, origins }: Scenario): number {
  const wanted = pulls.reduce((sum, { blob }) => sum + blobs[blob]!, 0);
  const uploads = [...agents, ...origins].reduce((sum, { up }) => sum + up, 0);
  return wanted / uploads;
}

/** Each blob enters each zone that wants it once. Origins are in no zone. */
function byZones({ zones, pulls, blobs }: Scenario): number {
  if (!zones) return 0;
  const wanted = Array.from({ length: zones.count }, () => new Set<number>());
  for (const { agent, blob } of pulls) wanted[agent % zones.count]!.add(blob);
  const bytes = wanted.map((set) => [...set].reduce((sum, blob) => sum + blobs[blob]!, 0));
  return Math.max(...bytes) / zones.link;
}
