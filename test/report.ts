import { relative } from 'node:path';
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

type Result = Extract<TestEvent, { type: 'test:pass' | 'test:fail' }>['data'];
/** Why node:test counts a test as failed. */
interface TestError extends Error {
  readonly failureType?: string;
  readonly code?: unknown;
  readonly exitCode?: number;
}

/** Characters kept of what a file writes, which is shown if it fails. */
const OUTPUT_KEPT = 64 * 1024;

/** Milliseconds from which a file is one of the slow ones. */
const SLOW = 20_000;

/** Prints test results as they come, and at the end what failed, what was skipped and why, and the counts. */
export class Report {
  readonly #counts = { passed: 0, failed: 0, skipped: 0 };
  readonly #failures: string[] = [];
  /** How many tests were skipped, by the reason. */
  readonly #reasons = new Map<string, number>();
  /** Files that have neither come to the end of their tests nor failed. */
  readonly #unfinished = new Set<string>();
  readonly #failedFiles = new Set<string>();
  #files = 0;
  readonly #outputs = new Map<string, string>();
  /** Milliseconds by file. */
  readonly #durations = new Map<string, number>();
  /** Names of the suites and tests that are open, outermost first: node:test reports one file after the other. */
  readonly #open: string[] = [];
  /** The file and suites that the last line was printed below. */
  #printed: readonly string[] = [];
  /** Nesting of the start or result before: when a result comes after a deeper one, that was within it. */
  #before = 0;

  /** Has these files, by their absolute paths, come to the end of their tests. */
  expect(files: readonly string[]): void {
    for (const file of files) this.#unfinished.add(file);
    this.#files += files.length;
  }

  add({ type, data }: TestEvent): void {
    if (type === 'test:start') {
      this.#open.splice(data.nesting, Infinity, data.name);
      this.#before = data.nesting;
    }
    if (type === 'test:pass') this.#result(data);
    if (type === 'test:fail') this.#result(data, data.details.error);
    if (type === 'test:stdout' || type === 'test:stderr') this.#keep(entryOf(data), data.message);
    // Without a file, it is one of node:test's own counts.
    if (type === 'test:diagnostic' && data.file) this.#keep(entryOf(data), `${data.message}\n`);
    if (type === 'test:summary' && data.file) {
      this.#unfinished.delete(entryOf(data));
      this.#durations.set(entryOf(data), data.duration_ms);
    }
  }

  /** Prints the end of the report. Returns the exit code: no test at all is a failure too. */
  finish(): number {
    // To node:test, a file that calls process.exit(0) in the middle of its tests has passed.
    for (const file of this.#unfinished)
      this.#fail(file, [], 'the file has no tests, or ended in the middle of them');
    for (const [file, output] of this.#outputs)
      if (output.trim() && (this.#failedFiles.has(file) || this.#files === 1))
        console.log(`\noutput of ${relativePath(file)}:\n${indent(output.trim(), 3)}`);
    for (const [index, failure] of this.#failures.entries()) console.log(`\n${index + 1}) ${failure}`);
    printList(
      'skipped',
      [...this.#reasons].map(([reason, count]) => `${count} × ${reason}`),
    );
    const slow = [...this.#durations].filter(([, time]) => time > SLOW).sort(([, a], [, b]) => b - a);
    printList(
      'slow files',
      slow.slice(0, 20).map(([file, time]) => `${Math.round(time / 1000)} s  ${relativePath(file)}`),
    );
    const { passed, failed, skipped } = this.#counts;
    const none = passed + failed + skipped === 0;
    if (none) console.log('\nno test was found');
    console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
    return failed > 0 || none ? 1 : 0;
  }

  #result(result: Result, error?: TestError): void {
    const { nesting, name, skip, todo, details } = result;
    const isParent = this.#before > nesting;
    this.#before = nesting;
    const isFile = nesting === 0 && name === result.file;
    // The tests within have been counted.
    if (error?.failureType === 'subtestsFailed') return;
    if (error && todo === undefined) {
      this.#print(result, 'FAILED');
      this.#fail(
        entryOf(result),
        this.#open.slice(0, nesting + 1),
        isFile ? whyFileFailed(error) : whyTestFailed(error),
      );
    } else if (isParent || isFile) {
      // A suite passes when its tests do, and a file without a test passes as if it were one.
    } else if (skip !== undefined || todo !== undefined) {
      const why = typeof todo === 'string' ? `to do: ${todo}` : skip;
      const reason = typeof why === 'string' ? why : 'no reason given';
      this.#counts.skipped++;
      this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1);
      this.#print(result, 'skipped', reason);
    } else if (details.type !== 'suite') {
      this.#counts.passed++;
      this.#print(result, 'ok');
    }
  }

  #fail(file: string, names: readonly string[], why: string): void {
    this.#counts.failed++;
    this.#failedFiles.add(file);
    this.#unfinished.delete(file);
    this.#failures.push(
      `${[relativePath(file), names.join(' > ')].filter(Boolean).join(': ')}\n${indent(why, 3)}`,
    );
  }

  /** Prints a line below the names of the file and the suites it stands in. */
  #print(result: Result, outcome: string, note = `${Math.round(result.details.duration_ms)} ms`): void {
    const above = [relativePath(entryOf(result)), ...this.#open.slice(0, result.nesting)];
    const from = above.findIndex((name, depth) => name !== this.#printed[depth]);
    if (from !== -1)
      above.slice(from).forEach((name, i) => {
        console.log(indent(name, 2 * (from + i)));
      });
    this.#printed = above;
    console.log(indent(`${outcome} ${result.name} (${note})`, 2 * above.length));
  }

  #keep(file: string, text: string): void {
    this.#outputs.set(file, ((this.#outputs.get(file) ?? '') + text).slice(-OUTPUT_KEPT));
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

function printList(title: string, lines: readonly string[]): void {
  if (lines.length > 0) console.log(`\n${title}:\n${indent(lines.join('\n'), 2)}`);
}

function relativePath(file: string): string {
  return relative(process.cwd(), file);
}

function indent(text: string, spaces: number): string {
  return text.replace(/^(?=.)/gm, ' '.repeat(spaces));
}
