import type { Scenario } from './scenario.ts';
import { churn } from './scenarios/churn.ts';
import { cold } from './scenarios/cold.ts';
import { flashCrowd } from './scenarios/flash-crowd.ts';
import { lateJoiner } from './scenarios/late-joiner.ts';
import { layers } from './scenarios/layers.ts';
import { manyBlobs } from './scenarios/many-blobs.ts';
import { oneToOne } from './scenarios/one-to-one.ts';
import { rolling } from './scenarios/rolling.ts';
import { smallBlobs } from './scenarios/small-blobs.ts';
import { unequal } from './scenarios/unequal.ts';
import { zones } from './scenarios/zones.ts';

export const SCENARIOS: readonly Scenario[] = [
  flashCrowd,
  cold,
  rolling,
  lateJoiner,
  oneToOne,
  smallBlobs,
  manyBlobs,
  layers,
  unequal,
  zones,
  churn,
];
