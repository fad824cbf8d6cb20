/** The first worker ended before it listened. Unless a signal ended it, it has printed why. */
export class StartFailed extends Error {
  /** Of this process. */
  readonly exitCode: number;
  readonly signal: NodeJS.Signals | null;

  constructor(exitCode: number | null, signal: NodeJS.Signals | null) {
    super(`${signal ?? 'a failure'} ended the first worker before it listened`);
    this.signal = signal;
    this.exitCode = exitCode === null || exitCode === 0 ? 1 : exitCode;
  }
}
