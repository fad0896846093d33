import { afterAll, beforeAll, beforeEach, describe } from 'vitest';

import { keepLogsOnFailure } from '../../runtimes/failure-logs.ts';
import { cleanUp } from './clean-up.ts';
import { door } from './door.ts';
import { faults } from './faults.ts';
import { installation } from './installation.ts';
import { lifecycle } from './lifecycle.ts';
import { membership } from './membership.ts';
import { preheats } from './preheats.ts';
import { mirrorEvent } from './mirror-event.ts';
import { privateImages } from './private-images.ts';
import { pulls } from './pulls.ts';
import { type Rig, startRig } from './rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
beforeEach(() => keepLogsOnFailure(rig));
afterAll(() => rig?.[Symbol.asyncDispose]());
const cluster = (): Rig => rig;

describe('installation', () => {
  installation(cluster);
});
describe('pulls', () => {
  pulls(cluster);
});
describe('private images', () => {
  privateImages(cluster);
});
describe('preheats', () => {
  preheats(cluster);
});
describe('the door', () => {
  door(cluster);
});
describe('membership', () => {
  membership(cluster);
});
describe('faults', () => {
  faults(cluster);
});
describe('events', () => {
  mirrorEvent(cluster);
});
describe('life cycle', () => {
  lifecycle(cluster);
});
describe('clean-up', () => {
  cleanUp(cluster);
});
