import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const intervalMs = 5_000;

/** Event loop utilization below which the process is idle. */
const idleUtilization = 0.1;

/** Work since the last collection that makes another one, of some 20 ms, worthwhile. */
const minWorkMs = 1_000;

type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

/**
 * Collects garbage when a busy process becomes idle. V8 collects only on allocation, so it would keep some 200 MB after a
 * load.
 */
export function collectWhenIdle(): void {
  const collect = gcFunction();
  let before = performance.eventLoopUtilization();
  let workedMs = 0;
  setInterval(() => {
    const { utilization, active } = performance.eventLoopUtilization(before);
    before = performance.eventLoopUtilization();
    workedMs += active;
    if (utilization >= idleUtilization || workedMs < minWorkMs) return;
    // Only this flavor returns V8's free pages to the system.
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    [before, workedMs] = [performance.eventLoopUtilization(), 0];
  }, intervalMs).unref();
}

/** V8's gc function, which otherwise needs a command line flag. */
function gcFunction(): Collect {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}
