import type { Check, Context } from './check.ts';
import { SmokeFailure, type Finding } from './failure.ts';

/** What came of a check. */
export interface Result {
  readonly name: string;
  readonly title: string;
  readonly status: 'passed' | 'failed' | 'skipped';
  /** What is worth knowing of one that passed, and which check one waited for that was skipped. */
  readonly note?: string;
  /** Of one that failed. */
  readonly finding?: Finding;
  readonly milliseconds: number;
}

/** Runs checks one by one. One whose needs have not passed is skipped, and so are all after a signal. */
export async function runChecks(
  checks: readonly Check[],
  context: Context,
  onResult: (result: Result) => void,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const check of checks) {
    const missing = check.needs.find(
      (need) => results.find(({ name }) => name === need)?.status !== 'passed',
    );
    const skip = (note: string) => ({
      ...labelsOf(check),
      status: 'skipped' as const,
      note,
      milliseconds: 0,
    });
    const why = context.session.isStopped ? 'stopped' : missing && `needs ${missing}`;
    const result = why === undefined ? await runCheck(check, context) : skip(why);
    results.push(result);
    onResult(result);
  }
  return results;
}

async function runCheck(check: Check, context: Context): Promise<Result> {
  const began = performance.now();
  const passed = (): number => Math.round(performance.now() - began);
  try {
    const note = await check.run(context);
    const more = note === undefined ? {} : { note };
    return { ...labelsOf(check), status: 'passed', ...more, milliseconds: passed() };
  } catch (error) {
    if (!(error instanceof SmokeFailure)) throw error;
    return { ...labelsOf(check), status: 'failed', finding: error.finding, milliseconds: passed() };
  }
}

function labelsOf({ name, title }: Check): Pick<Result, 'name' | 'title'> {
  return { name, title };
}
