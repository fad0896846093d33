import type { Outcome } from './scenario.ts';
import type { Result } from './result.ts';

/** The result for a reader: one line for each agent, then the whole. */
export function renderTable(result: Result, { measured, direct }: Outcome): string {
  const straight = new Map(direct?.pulls.map(({ agent, report }) => [agent, report]));
  const rows = measured.result.map(({ agent, report, boundSeconds }) => [
    agent,
    seconds(report.seconds),
    boundSeconds === undefined ? '–' : seconds(boundSeconds),
    boundSeconds === undefined ? '–' : (report.seconds / boundSeconds).toFixed(3),
    seconds(report.fetched[0]?.firstByteSeconds),
    seconds(straight.get(agent)?.seconds),
  ]);
  const heads = ['agent', 'seconds', 'bound', 'ratio', 'first byte', 'straight'];
  return `${align([heads, ...rows])}\n\n${align(summary(result))}\n`;
}

function summary(result: Result): string[][] {
  const { cpuSecondsPerGiB: cpu, peakRssMiB: rss, shares, direct } = result;
  const rate = result.rateMbit === null ? 'not shaped' : `${result.rateMbit} Mbit/s`;
  return [
    ['scenario', `${result.scenario}: ${result.nodes} × ${(result.bytes / 2 ** 20).toFixed(1)} MiB, ${rate}`],
    ['seconds', `p50 ${result.p50Seconds}, max ${result.maxSeconds}, bound ${result.boundSeconds ?? '–'}`],
    ['ratio to the bound', `${result.ratio ?? '–'}`],
    ['first byte', `p50 ${result.ttfbP50Seconds} s, max ${result.ttfbSeconds} s`],
    ['origin sent ÷ F', `${result.originUploadOverF} (frames ${result.originInterfaceOverF})`],
    ['received ÷ pulled', `${result.receivedOverPulled} (frames)`],
    ['upstream sent ÷ F', `${result.upstreamOverF}`],
    ['from', Object.entries(shares).map(([source, part]) => `${source} ${percent(part)}`).join(', ')], // prettier-ignore
    ['CPU-s per GiB', `agent ${cpu.agent}, origin ${cpu.origin}, tracker ${cpu.tracker}`],
    [
      '',
      `kernel's part: agent ${percent(result.systemShare.agent)}, origin ${percent(result.systemShare.origin)}; pullers ${result.pullerCpuSecondsPerGiB}`,
    ],
    ['peak RSS, MiB', `agent ${rss.agent}, origin ${rss.origin}, tracker ${rss.tracker}`],
    ...(direct === null
      ? []
      : [
          [
            'straight from nginx',
            `p50 ${direct.p50Seconds}, max ${direct.maxSeconds} s: ${result.speedup} × ours; CPU-s per GiB ${direct.cpuSecondsPerGiB}, pullers ${direct.pullerCpuSecondsPerGiB}`,
          ],
        ]),
    ['noise', `${result.otherBusyCores} of ${result.machine.cores} cores were busy with other things`],
  ];
}

function percent(part: number): string {
  return `${(part * 100).toFixed(1)} %`;
}

function seconds(value: number | undefined): string {
  return value === undefined ? '–' : value.toFixed(value < 1 ? 3 : 2);
}

function align(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
