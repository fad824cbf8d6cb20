/**
 * What must be undone however the process ends: a test that throws, a runner that is interrupted, a file that is
 * told to stop. The usual way is still to stop a server in an `after` hook; this is the net below it.
 */
const pending: (() => void)[] = [];

/**
 * Runs `undo` when the process exits, last registered first; the function returned takes it off the list again.
 * It must be synchronous: nothing else runs once a process exits.
 */
export function atExit(undo: () => void): () => void {
  listen();
  pending.push(undo);
  return () => {
    const index = pending.indexOf(undo);
    if (index >= 0) pending.splice(index, 1);
  };
}

/** The same; the returned function undoes it immediately. */
export function undoOnce(undo: () => void): () => void {
  const forget = atExit(undo);
  return () => {
    forget();
    undo();
  };
}

let listening = false;

function listen(): void {
  if (listening) return;
  listening = true;
  process.once('exit', undoAll);
  // The default for a signal ends the process without an exit event.
  process.once('SIGINT', () => process.exit(130));
  process.once('SIGTERM', () => process.exit(143));
  process.once('SIGHUP', () => process.exit(129));
}

function undoAll(): void {
  for (let undo = pending.pop(); undo; undo = pending.pop()) {
    try {
      undo();
    } catch (error) {
      console.error('left behind:', error);
    }
  }
}

/** Waits without the event loop, for use during an exit. */
export function sleepSync(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
