import { relative } from 'node:path';
import { spec as SpecReporter, type TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

type Result = Extract<TestEvent, { type: 'test:pass' | 'test:fail' }>['data'];

/** Why node:test counts a test as failed. */
interface TestError extends Error {
  readonly failureType?: string;
  readonly code?: unknown;
  readonly exitCode?: number;
}

/** Characters kept of a file's output, which is shown if the file fails. */
const OUTPUT_CHARS = 64 * 1024;

/** Prints progress with the spec reporter of node:test, then failures, why tests were skipped, and the counts. */
export class Report {
  readonly #spec = new SpecReporter();
  readonly #counts = { passed: 0, failed: 0, skipped: 0 };
  readonly #failures: string[] = [];
  /** Number of skipped tests by reason. */
  readonly #skipped = new Map<string, number>();
  /** Test files by absolute path. */
  readonly #files = new Map<string, { output: string; state: 'unfinished' | 'finished' | 'failed' }>();
  /** Names of the open suites and tests, outermost first: node:test reports one file after the other. */
  readonly #open: string[] = [];
  #printed = '';

  /** Expects these files, given by absolute path, to run all their tests. */
  expect(files: readonly string[]): void {
    for (const file of files) this.#files.set(file, { output: '', state: 'unfinished' });
  }

  add(event: TestEvent): void {
    const { type, data } = event;
    if (type === 'test:start') this.#open.splice(data.nesting, Infinity, data.name);
    if (type === 'test:start' || type === 'test:pass' || type === 'test:fail')
      this.#print(event, pathOf(data));
    if (type === 'test:pass') this.#count(data);
    if (type === 'test:fail') this.#count(data, data.details.error);
    if (type === 'test:stdout' || type === 'test:stderr') this.#keep(pathOf(data), data.message);
    if (type === 'test:diagnostic') this.#diagnose(pathOf(data), data.message);
    if (type === 'test:summary') {
      const file = this.#files.get(data.file ?? '');
      if (file?.state === 'unfinished') file.state = 'finished';
    }
  }

  /** Prints the end of the report. Returns the exit code; a run without a test fails. */
  end(): number {
    // node:test passes a file that calls process.exit(0) in the middle of its tests.
    for (const [path, { state }] of this.#files)
      if (state === 'unfinished') this.#fail(path, [], 'the file has no tests, or ended before all had run');
    for (const [path, { output, state }] of this.#files)
      if (output.trim() && (state === 'failed' || this.#files.size === 1))
        console.log(`\noutput of ${relative('', path)}:\n${indent(output.trim())}`);
    for (const [index, failure] of this.#failures.entries()) console.log(`\n${index + 1}) ${failure}`);
    const reasons = [...this.#skipped].map(([reason, count]) => `${count} × ${reason}`);
    if (reasons.length > 0) console.log(`\nskipped:\n${indent(reasons.join('\n'))}`);
    const { passed, failed, skipped } = this.#counts;
    console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
    return failed > 0 || passed + skipped === 0 ? 1 : 0;
  }

  #print(event: TestEvent, path: string): void {
    if (path !== this.#printed) console.log(`\n${relative('', path)}`);
    this.#printed = path;
    this.#spec.write(event);
    process.stdout.write((this.#spec.read() as string | null) ?? '');
  }

  #count(result: Result, error?: TestError): void {
    const { nesting, name, file, details } = result;
    const isFile = nesting === 0 && name === file;
    const skip = result.skip ?? result.todo;
    if (error) {
      // The failed tests within have been counted.
      if (error.failureType === 'subtestsFailed') return;
      const names = isFile ? [] : [...this.#open.slice(0, nesting), name];
      this.#fail(pathOf(result), names, whyFailed(error, isFile));
    } else if (isFile || this.#open.length > nesting + 1) {
      // node:test reports a file without a test as a test. Suites and tests with subtests count by their tests.
    } else if (skip !== undefined) {
      const reason = typeof skip === 'string' ? skip : 'no reason given';
      this.#counts.skipped++;
      this.#skipped.set(reason, (this.#skipped.get(reason) ?? 0) + 1);
    } else if (details.type !== 'suite') this.#counts.passed++;
  }

  #diagnose(path: string, message: string): void {
    if (path) this.#keep(path, `${message}\n`);
    else if (message.startsWith('Warning')) this.#fail('', [], message);
  }

  #keep(path: string, text: string): void {
    const file = this.#files.get(path);
    if (file) file.output = (file.output + text).slice(-OUTPUT_CHARS);
  }

  #fail(path: string, names: readonly string[], why: string): void {
    const file = this.#files.get(path);
    if (file) file.state = 'failed';
    this.#counts.failed++;
    this.#failures.push(`${[relative('', path), ...names].join(' > ')}\n${indent(why)}`);
  }
}

/** The test file that was run; `file` is the module that declares the test, which several test files may share. */
function pathOf(data: { file?: string | undefined; entryFile?: string }): string {
  return data.entryFile ?? data.file ?? '';
}

/** What the test threw. node:test wraps it, unless the test did not even run. */
function whyFailed(error: TestError, isFile: boolean): string {
  if (error.failureType === 'testAborted') return error.message;
  if (isFile) return `the file ended with exit code ${String(error.exitCode)}; see its output`;
  const thrown = error.code === 'ERR_TEST_FAILURE' ? error.cause : error;
  return typeof thrown === 'string' ? thrown : inspect(thrown, { depth: 6 });
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '   ');
}
