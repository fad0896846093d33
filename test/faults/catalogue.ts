import { command } from '../../bench/rig/command.ts';
import type { Part } from '../../bench/rig/part.ts';
import { corrupt, fillDisk, remove, storedFiles, truncateToHalf } from './damage.ts';
import type { Fault, Scene } from './fault.ts';
import type { Stage } from './stage.ts';
import type { Condition } from './upstream-condition.ts';

const OUTAGE_SECONDS = 3;
const CUT_SECONDS = 20;
const DESCRIPTORS = 64;

/** Everything that issue 6 wants survived, in its order. */
export const FAULTS: readonly Fault[] = [
  kill('tracker', 'kill -9 of the tracker', ({ stage }) => [stage.rig.tracker]),
  kill('owner', 'kill -9 of the owning origin', ({ stage, blob }) => [stage.ownerOf(blob)]),
  kill('origins', 'kill -9 of all origins', ({ stage }) => stage.rig.origins),
  {
    ...kill('agents', 'kill -9 of half of the agents, which start again', ({ stage }) => stage.half),
    lastsSeconds: 0,
    killed: (stage) => stage.half,
  },
  outage('upstream-gone', 'the upstream is gone for 3 s', { kind: 'gone' }),
  upstream('upstream-slow', 'the upstream gives 1 MB/s', { kind: 'slow', bytesPerSecond: 1e6 }),
  upstream('upstream-closing', 'the upstream closes each answer after 1 MB', {
    kind: 'closing',
    afterBytes: 1e6,
  }),
  outage('upstream-500', 'the upstream answers 500 for 3 s', { kind: 'status', status: 500 }),
  outage('upstream-429', 'the upstream answers 429 for 3 s', { kind: 'status', status: 429 }),
  upstream('upstream-truncated', 'the upstream ends each answer after 1 MB', {
    kind: 'truncated',
    afterBytes: 1e6,
  }),
  { ...upstream('upstream-wrong', 'the upstream sends wrong bytes', { kind: 'wrong' }), poisons: true },
  {
    name: 'network-cut',
    what: `the network is cut between two halves for ${CUT_SECONDS} s`,
    lastsSeconds: CUT_SECONDS,
    drySeconds: CUT_SECONDS,
    async strike({ stage: { rig } }) {
      await rig.cutTrunk(true);
      return () => rig.cutTrunk(false);
    },
  },
  fullDisks('disk-full-agents', 'the disk is full on half of the agents', ({ stage }) => stage.half),
  fullDisks('disk-full-origins', 'the disk is full on the origins', ({ stage }) => stage.rig.origins),
  damage('store-corrupted', 'store files are corrupted on half of the agents', corrupt),
  damage('store-truncated', 'store files are truncated on half of the agents', truncateToHalf),
  damage('store-deleted', 'store files are deleted on half of the agents', remove),
  {
    name: 'clock-jump',
    what: 'the clock jumps by an hour on half of the agents and the owning origin',
    strike: ({ stage, blob }) => {
      const parts = [...stage.half, stage.ownerOf(blob)];
      const set = async (offset: '+0' | '+1h'): Promise<void> =>
        void (await Promise.all(parts.map((part) => stage.setClock(part, offset))));
      return set('+1h').then(() => () => set('+0'));
    },
  },
  {
    name: 'descriptors',
    what: `half of the agents may have ${DESCRIPTORS} file descriptors`,
    strike: ({ stage }) => {
      const limit = (count: number | undefined): Promise<void> => limitDescriptors(stage.half, count);
      return limit(DESCRIPTORS).then(() => () => limit(undefined));
    },
  },
  {
    name: 'stalls',
    what: 'every event loop stands still for 20 ms, twenty times a second',
    async strike({ stage }) {
      toggleStalls(stage);
      return async () => toggleStalls(stage);
    },
  },
];

/** The parts are there again once all pulls have ended, unless the fault says sooner. */
function kill(name: string, what: string, victims: (scene: Scene) => readonly Part[]): Fault {
  return {
    name,
    what,
    async strike(scene) {
      const killed = victims(scene);
      await Promise.all(killed.map((part) => part.kill()));
      return async () => void (await Promise.all(killed.map((part) => part.restart(scene.stage.rig.signal))));
    },
  };
}

function upstream(name: string, what: string, condition: Condition): Fault {
  return {
    name,
    what,
    async strike({ stage }) {
      await stage.upstream.become(condition);
      return () => stage.upstream.become({ kind: 'well' });
    },
  };
}

function outage(name: string, what: string, condition: Condition): Fault {
  return { ...upstream(name, what, condition), lastsSeconds: OUTAGE_SECONDS, drySeconds: OUTAGE_SECONDS };
}

function fullDisks(name: string, what: string, victims: (scene: Scene) => readonly Part[]): Fault {
  return {
    name,
    what,
    async strike(scene) {
      const { rig } = scene.stage;
      const mends = await Promise.all(victims(scene).map((part) => fillDisk(rig.storeOf(part), rig.signal)));
      return async () => void (await Promise.all(mends.map((mend) => mend())));
    },
    leavesParts: true,
  };
}

function damage(name: string, what: string, harm: (file: string) => Promise<void>): Fault {
  return {
    name,
    what,
    async strike({ stage, blob }) {
      const files = await Promise.all(stage.half.map((agent) => storedFiles(stage.rig.storeOf(agent), blob)));
      await Promise.all(files.flat().map(harm));
      return async () => {};
    },
    taints: true,
  };
}

/** @param count undefined: as many as the hard limit lets it have, which Node takes by itself */
async function limitDescriptors(parts: readonly Part[], count: number | undefined): Promise<void> {
  const limit = async ({ process: { child } }: Part): Promise<void> => {
    const of = ['--pid', String(child.pid)];
    const most = await command('prlimit', ...of, '--nofile', '--output=HARD', '--noheadings');
    await command('prlimit', ...of, `--nofile=${count ?? most.trim()}:`);
  };
  await Promise.all(parts.map(limit));
}

function toggleStalls(stage: Stage): void {
  for (const { process: own } of stage.parts) own.child.kill('SIGUSR2');
}
