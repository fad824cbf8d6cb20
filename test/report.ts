import { relative } from 'node:path';
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

type Result = Extract<TestEvent, { type: 'test:pass' | 'test:fail' }>['data'];
type Summary = Extract<TestEvent, { type: 'test:summary' }>['data'];
type Start = Extract<TestEvent, { type: 'test:start' }>['data'];
/** Why node:test counts a test as failed. */
interface TestError extends Error {
  readonly failureType?: string;
  readonly code?: unknown;
  readonly exitCode?: number;
}

/** What is known of a file while its tests report, in the order they are declared. */
interface FileState {
  /** Names of the suites and tests that are open, outermost first. */
  readonly names: string[];
  /** How many of these names are printed; -1 before the file's own is. */
  printed: number;
  /** By nesting: whether a test there has had tests within it. */
  readonly parents: boolean[];
  /** What it wrote, which is shown if it fails. */
  output: string;
  failed: boolean;
}

const OUTPUT_KEPT = 64 * 1024;

/** Milliseconds from which a file is one of the slow ones. */
const SLOW = 20_000;

/** Prints test results as they come, and at the end what failed, what was skipped, and the counts. */
export class Report {
  readonly #files = new Map<string, FileState>();
  readonly #failures: { title: string; why: string }[] = [];
  readonly #skipped = new Map<string, number>();
  /** Files that have neither come to the end of their tests nor failed. */
  readonly #unfinished = new Set<string>();
  /** Milliseconds by file. */
  readonly #durations = new Map<string, number>();
  #passed = 0;
  #failed = 0;
  #skips = 0;

  /** Has these files, by their absolute paths, come to the end of their tests. */
  expect(files: readonly string[]): void {
    for (const file of files) this.#unfinished.add(file);
  }

  add(event: TestEvent): void {
    if (event.type === 'test:start') this.#start(event.data);
    if (event.type === 'test:pass') this.#result(event.data);
    if (event.type === 'test:fail') this.#result(event.data, event.data.details.error);
    if (event.type === 'test:stdout' || event.type === 'test:stderr') this.#output(event.data);
    if (event.type === 'test:diagnostic') this.#diagnostic(event.data);
    if (event.type === 'test:summary') this.#summary(event.data);
  }

  /** Prints the end of the report. Returns the exit code: no test at all is a failure too. */
  finish(): number {
    this.#failUnfinished();
    this.#printOutputs();
    this.#failures.forEach(({ title, why }, index) => {
      console.log(`\n${index + 1}) ${title}\n${indent(why, 3)}`);
    });
    this.#printSkipped();
    this.#printSlowest();
    if (this.#passed + this.#failed + this.#skips === 0) console.log('\nno test was found');
    const skipped = this.#skips > 0 ? `, ${this.#skips} skipped` : '';
    console.log(`\n${this.#passed} passed, ${this.#failed} failed${skipped}`);
    return this.#failed > 0 || this.#passed + this.#skips === 0 ? 1 : 0;
  }

  #summary(summary: Summary): void {
    const file = entryOf(summary);
    this.#unfinished.delete(file);
    if (file !== '') this.#durations.set(file, summary.duration_ms);
  }

  #start(start: Start): void {
    const state = this.#file(entryOf(start));
    const { nesting, name } = start;
    state.names.splice(nesting, Infinity, name);
    state.printed = Math.min(state.printed, nesting);
  }

  #result(result: Result, error?: TestError): void {
    const state = this.#file(entryOf(result));
    const isParent = this.#close(state, result);
    const isFile = result.nesting === 0 && result.name === result.file;
    // The tests within have been counted.
    if (error?.failureType === 'subtestsFailed') return;
    if (error && result.todo === undefined) {
      this.#fail(state, result, isFile ? whyFileFailed(error) : whyTestFailed(error));
      return;
    }
    // A suite passes when its tests do, and a file without a test passes as if it were one.
    if (isParent || isFile) return;
    if (result.skip !== undefined || result.todo !== undefined) this.#skip(state, result);
    else if (result.details.type !== 'suite') this.#pass(state, result);
  }

  /** Returns whether tests within the test or suite have reported. */
  #close(state: FileState, { nesting, name }: Result): boolean {
    state.names.splice(nesting, Infinity, name);
    const isParent = state.parents[nesting] ?? false;
    state.parents[nesting] = false;
    if (nesting > 0) state.parents[nesting - 1] = true;
    return isParent;
  }

  #pass(state: FileState, result: Result): void {
    this.#passed++;
    this.#print(state, result, `ok ${result.name} (${milliseconds(result)})`);
  }

  #skip(state: FileState, result: Result): void {
    this.#skips++;
    const { skip, todo } = result;
    const reason =
      typeof skip === 'string' ? skip : typeof todo === 'string' ? `to do: ${todo}` : 'no reason given';
    this.#skipped.set(reason, (this.#skipped.get(reason) ?? 0) + 1);
    this.#print(state, result, `skipped ${result.name} (${reason})`);
  }

  #fail(state: FileState, result: Result, why: string): void {
    this.#failed++;
    state.failed = true;
    this.#unfinished.delete(entryOf(result));
    this.#print(state, result, `FAILED ${result.name} (${milliseconds(result)})`);
    const names = state.names.slice(0, result.nesting + 1).join(' > ');
    this.#failures.push({ title: `${relativePath(entryOf(result))}: ${names}`, why });
  }

  /** To node:test, a file that calls process.exit(0) in the middle of its tests has passed. */
  #failUnfinished(): void {
    for (const file of this.#unfinished) {
      this.#failed++;
      this.#file(file).failed = true;
      this.#failures.push({
        title: relativePath(file),
        why: 'the file has no tests, or ended in the middle of them',
      });
    }
  }

  /** What went wrong in a file outside of its tests. Without a file, it is one of node:test's own counts. */
  #diagnostic(diagnostic: { file?: string; message: string }): void {
    if (diagnostic.file) this.#output({ ...diagnostic, message: `${diagnostic.message}\n` });
  }

  /** Prints a line below the names of the suites it stands in. */
  #print(state: FileState, result: Result, line: string): void {
    const { nesting } = result;
    if (state.printed < 0) console.log(relativePath(entryOf(result)));
    state.printed = Math.max(state.printed, 0);
    for (; state.printed < nesting; state.printed++) {
      console.log(indent(state.names[state.printed] ?? '', 2 * state.printed + 2));
    }
    console.log(indent(line, 2 * nesting + 2));
  }

  #output(output: { file?: string; message: string }): void {
    const state = this.#file(entryOf(output));
    state.output = (state.output + output.message).slice(-OUTPUT_KEPT);
  }

  #printOutputs(): void {
    for (const [file, { failed, output }] of this.#files) {
      const shown = failed || this.#files.size === 1;
      if (shown && output.trim())
        console.log(`\noutput of ${relativePath(file)}:\n${indent(output.trim(), 3)}`);
    }
  }

  /** What is worth a look when the whole takes too long. */
  #printSlowest(): void {
    const slowest = [...this.#durations].sort(([, a], [, b]) => b - a).filter(([, time]) => time > SLOW);
    if (slowest.length > 0) console.log('\nslow files:');
    for (const [file, time] of slowest.slice(0, 20))
      console.log(`  ${Math.round(time / 1000)} s  ${relativePath(file)}`);
  }

  #printSkipped(): void {
    if (this.#skips > 0) console.log('\nskipped:');
    for (const [reason, count] of this.#skipped) console.log(`  ${count} × ${reason}`);
  }

  #file(file: string): FileState {
    const known = this.#files.get(file);
    if (known) return known;
    const state = { names: [], printed: -1, parents: [], output: '', failed: false };
    this.#files.set(file, state);
    return state;
  }
}

/** The test file that was run; `file` is where the test is declared, which may be a module that several files use. */
function entryOf(data: { file?: string | undefined; entryFile?: string }): string {
  return data.entryFile ?? data.file ?? '';
}

/** What the test threw; node:test wraps it, unless the test did not even run. */
function whyTestFailed(error: TestError): string {
  const thrown = error.code === 'ERR_TEST_FAILURE' ? error.cause : error;
  return typeof thrown === 'string' ? thrown : inspect(thrown, { depth: 6 });
}

function whyFileFailed(error: TestError): string {
  if (error.failureType === 'testAborted') return error.message;
  return `the file ended with exit code ${String(error.exitCode)}; see its output`;
}

function relativePath(file: string): string {
  return relative(process.cwd(), file);
}

function milliseconds({ details }: Result): string {
  return `${Math.round(details.duration_ms)} ms`;
}

function indent(text: string, spaces: number): string {
  return text.replace(/^(?=.)/gm, ' '.repeat(spaces));
}
