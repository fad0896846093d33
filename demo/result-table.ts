import type { BytesBySource } from './live-table.ts';
import { formatBytes, formatPercent, formatSeconds, quantile } from './units.ts';

interface NodeResult {
  name: string;
  seconds: number;
  /** From the pull's start to the first byte of a layer. */
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
  /** The same nodes straight from the upstream registry, for comparison. */
  directSeconds: readonly number[];
}

/** What `--json` prints. Seconds and bytes. */
export interface DemoSummary {
  nodes: number;
  imageBytes: number;
  upstreamBytes: number;
  cacheBytes: number;
  peerBytes: number;
  originBytes: number;
  fallbackBytes: number;
  verified: boolean;
  p50Seconds: number;
  maxSeconds: number;
  directMaxSeconds: number;
  /** Of the node that waited longest. */
  ttfbSeconds: number;
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
export function summarize({ nodes, imageBytes, upstreamBytes, directSeconds }: DemoResult): DemoSummary {
  const seconds = nodes.map((node) => node.seconds);
  const total = (source: keyof BytesBySource): number =>
    nodes.reduce((bytes, node) => bytes + node.sources[source], 0);
  return {
    nodes: nodes.length,
    imageBytes,
    upstreamBytes,
    cacheBytes: total('cache'),
    peerBytes: total('peer'),
    originBytes: total('origin'),
    fallbackBytes: total('upstream'),
    verified: nodes.length > 0 && nodes.every((node) => node.verified),
    p50Seconds: rounded(quantile(seconds, 0.5)),
    maxSeconds: rounded(quantile(seconds, 1)),
    directMaxSeconds: rounded(quantile(directSeconds, 1)),
    ttfbSeconds: rounded(
      quantile(
        nodes.map((node) => node.firstByteSeconds),
        1,
      ),
    ),
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
  const { imageBytes, upstreamBytes, directMaxSeconds, maxSeconds, p50Seconds, nodes } = summary;
  const delivered = summary.cacheBytes + summary.peerBytes + summary.originBytes + summary.fallbackBytes;
  const link = result.bytesPerSecond;
  return [
    `image              ${formatBytes(imageBytes)}, pulled by ${nodes} nodes at once`,
    `upstream sent      ${formatBytes(upstreamBytes)} = ${(upstreamBytes / imageBytes).toFixed(3)} × the image`,
    `from peers         ${formatPercent(summary.peerBytes, delivered)} of all bytes delivered`,
    `through Shoal      slowest ${formatSeconds(maxSeconds)}, median ${formatSeconds(p50Seconds)}`,
    ...(result.directSeconds.length === 0
      ? []
      : [
          `straight from it   slowest ${formatSeconds(directMaxSeconds)} (${(directMaxSeconds / maxSeconds).toFixed(1)} × as long)`,
        ]),
    ...(link === undefined
      ? []
      : [`the link's bound   ${formatSeconds(imageBytes / link)} for one image at ${formatBytes(link)}/s`]),
  ];
}

function rounded(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}
