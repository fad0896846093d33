/**
 * Loaded by every part in front of its own code: SIGUSR2 makes its event loop stand still for 20 ms, twenty times a
 * second, the next SIGUSR2 ends that.
 */
const STALL_MS = 20;
const INTERVAL_MS = 50;

const cell = new Int32Array(new SharedArrayBuffer(4));
let timer: NodeJS.Timeout | undefined;

process.on('SIGUSR2', () => {
  if (timer === undefined) {
    timer = setInterval(() => Atomics.wait(cell, 0, 0, STALL_MS), INTERVAL_MS);
    timer.unref();
    return;
  }
  clearInterval(timer);
  timer = undefined;
});
