import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Milliseconds between two looks at how busy the process is. */
const interval = 5_000;

/** The share of an interval below which the process is idle. */
const idleBelow = 0.1;

/** Milliseconds of work after which a collection is worth its own time, some 20 ms. */
const worthwhileAfter = 1_000;

type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

/**
 * Collects garbage once a process that was busy is idle. V8 collects only while something is allocated, so what a load took
 * would stay taken until the next one: some 200 MB.
 */
export function collectWhenIdle(): void {
  const collect = collector();
  let before = performance.eventLoopUtilization();
  let worked = 0;
  setInterval(() => {
    const { utilization, active } = performance.eventLoopUtilization(before);
    before = performance.eventLoopUtilization();
    worked += active;
    if (utilization >= idleBelow || worked < worthwhileAfter) return;
    // This one gives pages back to the system that V8 else keeps for itself.
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    [before, worked] = [performance.eventLoopUtilization(), 0];
  }, interval).unref();
}

/** V8's own function, which is there without a flag of the command line only so. */
function collector(): Collect {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}
