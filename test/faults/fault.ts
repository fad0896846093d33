import type { Blob } from '../../bench/rig/content.ts';
import type { Part } from '../../bench/rig/part.ts';
import type { Stage } from './stage.ts';

/** One way in which things go wrong in the middle of a pull. */
export interface Fault {
  /** As the command line names it. */
  readonly name: string;
  readonly what: string;
  /** @returns what makes it well again, as far as it can be made well */
  strike(scene: Scene): Promise<() => Promise<void>>;
  /** When it is made well again; else once all pulls have ended. */
  readonly lastsSeconds?: number;
  /** For so long no source that can be reached need have a byte. */
  readonly drySeconds?: number;
  /** Agents whose runtime has to ask a second time: theirs is the process that is killed. */
  readonly killed?: (stage: Stage) => readonly Part[];
  /** The upstream's own bytes are wrong: no pull may succeed, and a second one has to. */
  readonly poisons?: boolean;
  /** What could not be stored stays in part while peers may still ask for it. */
  readonly leavesParts?: boolean;
  /** Agents remember it against each other: they start anew before the next cell. */
  readonly taints?: boolean;
}

export interface Scene {
  readonly stage: Stage;
  readonly blob: Blob;
}
