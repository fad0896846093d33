import { readFile } from 'node:fs/promises';

/** What a process has used so far. */
export interface Usage {
  /** User and system time of all its threads and of its children that have ended. */
  readonly cpuSeconds: number;
  /** The kernel's part of it. */
  readonly systemSeconds: number;
  /** Its largest resident set. */
  readonly peakRssMiB: number;
}

/** `sysconf(_SC_CLK_TCK)`; 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
// Fields of /proc/<pid>/stat behind the command's name, counted from the state (proc(5)).
const USER_TIME = 11;
const TIMES = 4;

export async function readUsage(pid: number): Promise<Usage> {
  const [stat, status] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'utf8'),
    readFile(`/proc/${pid}/status`, 'utf8'),
  ]);
  return { ...parseTimes(stat), peakRssMiB: parsePeakRss(status) };
}

/** Of the text of /proc/<pid>/stat: the name may hold spaces and parentheses. */
export function parseTimes(stat: string): Pick<Usage, 'cpuSeconds' | 'systemSeconds'> {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [user, system, usersOfEnded, systemsOfEnded] = fields.slice(USER_TIME, USER_TIME + TIMES).map(Number);
  const systemTicks = system! + systemsOfEnded!;
  const ticks = user! + usersOfEnded! + systemTicks;
  return { cpuSeconds: ticks / TICKS_PER_SECOND, systemSeconds: systemTicks / TICKS_PER_SECOND };
}

/** Of the text of /proc/<pid>/status; 0 for a process that has ended. */
export function parsePeakRss(status: string): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024;
}

/** Seconds that all cores together were busy since the machine started. */
export async function machineBusySeconds(): Promise<number> {
  const first = (await readFile('/proc/stat', 'utf8')).split('\n')[0] ?? '';
  const [user, nice, system, , , irq, softirq] = first.split(/\s+/).slice(1).map(Number);
  return (user! + nice! + system! + irq! + softirq!) / TICKS_PER_SECOND;
}
