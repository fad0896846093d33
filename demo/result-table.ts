import type { BytesBySource } from './live-table.ts';
import { formatBytes, formatPercent, formatSeconds, quantile } from './units.ts';

export interface NodeResult {
  name: string;
  seconds: number;
  /** From the pull's start to the first byte of a layer; NaN when none came. */
  firstByteSeconds: number;
  sources: BytesBySource;
  /** Every part was whole and matched its sha256 digest. */
  verified: boolean;
}

export interface DemoResult {
  imageBytes: number;
  /** The upstream link's width. */
  bytesPerSecond: number | undefined;
  /** Body bytes that left the upstream registry while the nodes pulled through Shoal. */
  upstreamBytes: number;
  nodes: readonly NodeResult[];
  /** How often the blob that crossed the link most did so: body bytes sent by its size. */
  maxCrossings: number;
  /** The same nodes straight from the upstream registry, for comparison. */
  direct: readonly Pick<NodeResult, 'seconds' | 'firstByteSeconds'>[];
}

/** What `--json` prints. Seconds and bytes. */
export interface DemoSummary {
  nodes: number;
  imageBytes: number;
  upstreamBytes: number;
  maxCrossings: number;
  cacheBytes: number;
  peerBytes: number;
  originBytes: number;
  fallbackBytes: number;
  verified: boolean;
  p50Seconds: number;
  maxSeconds: number;
  directMaxSeconds: number;
  /** What one image takes on the link: no way of sharing it is faster. */
  linkSeconds: number | undefined;
  /** Of the node that waited longest, from the pull's start to the first byte of a layer. */
  ttfbSeconds: number;
  directTtfbSeconds: number;
}

const HEADINGS = ['node', 'time', 'first byte', 'cache', 'peer', 'origin', 'upstream', 'sha256'];

/** The per-node table and what it comes to, for people. */
export function renderResult(result: DemoResult): string {
  const summary = summarize(result);
  const rows = result.nodes.map((node) => [
    node.name,
    formatSeconds(node.seconds),
    formatSeconds(node.firstByteSeconds),
    formatBytes(node.sources.cache),
    formatBytes(node.sources.peer),
    formatBytes(node.sources.origin),
    formatBytes(node.sources.upstream),
    node.verified ? 'verified' : 'WRONG',
  ]);
  return [...renderTable([HEADINGS, ...rows]), '', ...verdictLines(result, summary)].join('\n');
}

/** The same in numbers. */
export function summarize(result: DemoResult): DemoSummary {
  const { nodes, imageBytes, upstreamBytes, maxCrossings, bytesPerSecond, direct } = result;
  const seconds = nodes.map((node) => node.seconds);
  const total = (source: keyof BytesBySource): number =>
    nodes.reduce((bytes, node) => bytes + node.sources[source], 0);
  const longest = (values: readonly number[]): number => rounded(quantile(values, 1));
  return {
    nodes: nodes.length,
    imageBytes,
    upstreamBytes,
    maxCrossings: rounded(maxCrossings),
    cacheBytes: total('cache'),
    peerBytes: total('peer'),
    originBytes: total('origin'),
    fallbackBytes: total('upstream'),
    verified: nodes.length > 0 && nodes.every((node) => node.verified),
    p50Seconds: rounded(quantile(seconds, 0.5)),
    maxSeconds: longest(seconds),
    directMaxSeconds: longest(direct.map((pull) => pull.seconds)),
    linkSeconds: bytesPerSecond === undefined ? undefined : rounded(imageBytes / bytesPerSecond),
    ttfbSeconds: longest(nodes.map((node) => node.firstByteSeconds)),
    directTtfbSeconds: longest(direct.map((pull) => pull.firstByteSeconds)),
  };
}

/** Columns as wide as they need to be; the first to the left, numbers to the right. */
export function renderTable(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  const cell = (text: string, column: number): string =>
    column === 0 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0);
  const line = (row: readonly string[]): string => row.map(cell).join('  ');
  const [head = [], ...rest] = rows;
  return [line(head), widths.map((width) => '─'.repeat(width)).join('  '), ...rest.map(line)];
}

function verdictLines(result: DemoResult, summary: DemoSummary): string[] {
  const { imageBytes, upstreamBytes, maxSeconds, p50Seconds, nodes } = summary;
  const delivered = summary.cacheBytes + summary.peerBytes + summary.originBytes + summary.fallbackBytes;
  return [
    `image              ${formatBytes(imageBytes)}, pulled by ${nodes} nodes at once`,
    `upstream sent      ${formatBytes(upstreamBytes)} = ${(upstreamBytes / imageBytes).toFixed(3)} × the image`,
    `from peers         ${formatPercent(summary.peerBytes, delivered)} of all bytes delivered`,
    `through Shoal      slowest ${formatSeconds(maxSeconds)}, median ${formatSeconds(p50Seconds)}, first byte after ${formatSeconds(summary.ttfbSeconds)}`,
    ...comparisonLines(result, summary),
  ];
}

function comparisonLines({ direct, bytesPerSecond }: DemoResult, summary: DemoSummary): string[] {
  const { directMaxSeconds, maxSeconds, directTtfbSeconds, linkSeconds } = summary;
  const lines: string[] = [];
  if (direct.length > 0)
    lines.push(
      `straight from it   slowest ${formatSeconds(directMaxSeconds)} (${(directMaxSeconds / maxSeconds).toFixed(1)} × as long), first byte after ${formatSeconds(directTtfbSeconds)}`,
    );
  if (linkSeconds !== undefined && bytesPerSecond !== undefined)
    lines.push(
      `the link's bound   ${formatSeconds(linkSeconds)} for one image at ${formatBytes(bytesPerSecond)}/s`,
    );
  return lines;
}

function rounded(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}
