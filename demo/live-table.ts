import { formatBytes, formatPercent, formatSeconds } from './units.ts';

/** Where the bytes that a runtime got came from. */
export interface BytesBySource {
  cache: number;
  peer: number;
  origin: number;
  upstream: number;
}

export interface NodeProgress {
  name: string;
  /** Delivered to the node's runtime so far. */
  bytes: number;
  sources: BytesBySource;
  state: 'waiting' | 'pulling' | 'done' | 'failed';
  /** Since the node's pull began; stands still when it is over. */
  seconds: number;
}

export interface LiveModel {
  title: string;
  /** What each node is to get. */
  imageBytes: number;
  /** Body bytes that have left the upstream registry. */
  upstreamBytes: number;
  seconds: number;
  nodes: readonly NodeProgress[];
}

/** From nearest to farthest, with the sign that stands for it in a bar. */
const SOURCES = [
  ['cache', '·'],
  ['peer', '█'],
  ['origin', '▒'],
  ['upstream', '░'],
] as const satisfies readonly (readonly [keyof BytesBySource, string])[];

const DEFAULT_SIZE = { columns: 80, rows: 24 };
const MIN_BAR = 8;
const MAX_BAR = 40;

/** The picture of this moment: a heading, a bar per node, a legend; no line longer than the terminal is wide. */
export function renderLive(model: LiveModel, size = DEFAULT_SIZE): string[] {
  const nameWidth = Math.max(0, ...model.nodes.map((node) => node.name.length));
  const room = Math.max(1, size.rows - 4);
  const shown = model.nodes.length <= room ? model.nodes : model.nodes.slice(0, room - 1);
  const hidden = model.nodes.length - shown.length;
  const bar = Math.max(MIN_BAR, Math.min(MAX_BAR, size.columns - nameWidth - 38));
  const lines = [
    `${model.title}  ${formatSeconds(model.seconds)}  upstream sent ${ofImage(model)}`,
    ...shown.map((node) => nodeLine(node, model.imageBytes, nameWidth, bar)),
    ...(hidden === 0 ? [] : [`… and ${hidden} more`]),
    SOURCES.map(([source, sign]) => `${sign} ${source}`).join('   '),
  ];
  return lines.map((line) => line.slice(0, Math.max(1, size.columns - 1)));
}

/** The same moment on one line, for logs. */
export function renderPlain(model: LiveModel): string {
  const bytes = model.nodes.reduce((total, node) => total + node.bytes, 0);
  const peers = model.nodes.reduce((total, node) => total + node.sources.peer, 0);
  const done = model.nodes.filter((node) => node.state === 'done').length;
  const failed = model.nodes.filter((node) => node.state === 'failed').length;
  return [
    `${model.title}: ${formatSeconds(model.seconds)}`,
    `${formatPercent(bytes, model.imageBytes * model.nodes.length)} delivered`,
    `${done} of ${model.nodes.length} nodes done`,
    ...(failed === 0 ? [] : [`${failed} failed`]),
    `${formatPercent(peers, bytes)} from peers`,
    `upstream sent ${ofImage(model)}`,
  ].join(', ');
}

function ofImage({ upstreamBytes, imageBytes }: LiveModel): string {
  const ratio = imageBytes === 0 ? 0 : upstreamBytes / imageBytes;
  return `${formatBytes(upstreamBytes)} (${ratio.toFixed(2)} × the image)`;
}

function nodeLine(node: NodeProgress, imageBytes: number, nameWidth: number, bar: number): string {
  const state = {
    waiting: 'waiting',
    pulling: node.seconds > 0 ? `${formatBytes(node.bytes / node.seconds)}/s` : '',
    done: `done in ${formatSeconds(node.seconds)}`,
    failed: 'FAILED',
  }[node.state];
  return [
    node.name.padEnd(nameWidth),
    `▏${barOf(node, imageBytes, bar)}▕`,
    formatPercent(node.bytes, imageBytes).padStart(5),
    formatBytes(node.bytes).padStart(8),
    state,
  ].join(' ');
}

/** As long as the share delivered, divided by source; rounding never makes it longer or shorter than that. */
function barOf({ bytes, sources }: NodeProgress, imageBytes: number, width: number): string {
  const filled = imageBytes === 0 ? 0 : Math.floor((Math.min(bytes, imageBytes) / imageBytes) * width);
  const known = SOURCES.reduce((total, [source]) => total + sources[source], 0);
  let text = '';
  let sum = 0;
  for (const [source, sign] of SOURCES) {
    sum += sources[source];
    const end = known === 0 ? 0 : Math.round((sum / known) * filled);
    text = text.padEnd(end, sign);
  }
  return text.padEnd(filled, '-').padEnd(width);
}
