import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { XMLParser } from 'fast-xml-parser';

/** What became of a part of the specification. */
export type Verdict = 'pass' | 'disabled' | 'skipped' | 'not run' | 'FAIL';

/** One line of the suite's summary: an API, or a kind of data. */
export interface SummaryLine {
  readonly section: 'API' | 'Data';
  readonly name: string;
  readonly verdict: Verdict;
}

/** As the suite counts: also the steps that tests are made of. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** A test that did not pass. */
export interface Problem {
  readonly outcome: 'failed' | 'skipped';
  readonly name: string;
  /** In one line, without the parts that differ each time. */
  readonly message: string;
}

/** What one run of the suite found. */
export interface Results {
  readonly lines: readonly SummaryLine[];
  readonly counts: Counts;
  readonly problems: readonly Problem[];
}

/** Switched off on purpose, so no flaw. */
const SPARSE = 'Sparse Manifests';

const MESSAGE_LENGTH = 200;

/** Reads the reports that the suite wrote into a folder. Rejects unless they are whole. */
export async function readResults(folder: string): Promise<Results> {
  const [yaml, xml] = await Promise.all([
    readFile(join(folder, 'results.yaml'), 'utf8'),
    readFile(join(folder, 'junit.xml'), 'utf8'),
  ]);
  return { lines: readSummary(yaml), ...readTests(xml) };
}

/**
 * Whether a registry does all the specification says. The summary is not enough: an API with a test that was skipped and
 * one that passed has passed to it.
 */
export function conforms({ lines, counts }: Results): boolean {
  return (
    counts.passed > 0 &&
    counts.failed === 0 &&
    counts.skipped === 0 &&
    lines.every(({ name, verdict }) => verdict === 'pass' || (name === SPARSE && verdict === 'disabled'))
  );
}

/** The sections `apis` and `data` of results.yaml, each of which is a list of `name: status`. */
export function readSummary(yaml: string): SummaryLine[] {
  return [...section(yaml, 'apis', 'API'), ...section(yaml, 'data', 'Data')];
}

function section(yaml: string, key: string, name: SummaryLine['section']): SummaryLine[] {
  const [, text = ''] = new RegExp(`^${key}:\\n((?: .*\\n?)+)`, 'm').exec(yaml) ?? [];
  return text
    .trimEnd()
    .split('\n')
    .map((line) => summaryLine(line, name));
}

function summaryLine(line: string, of: SummaryLine['section']): SummaryLine {
  const [, name = '', status = ''] = /^ +"?(.+?)"?: (\w+)$/.exec(line) ?? [];
  const verdict = verdicts[status];
  if (verdict === undefined)
    throw new Error(`results.yaml has no line of a status, but ${JSON.stringify(line)}`);
  return { section: of, name, verdict };
}

const verdicts: Readonly<Record<string, Verdict>> = {
  Pass: 'pass',
  Skip: 'skipped',
  Disabled: 'disabled',
  Unknown: 'not run',
  FAIL: 'FAIL',
  Error: 'FAIL',
};

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '',
  parseTagValue: false,
  isArray: (name) => name === 'testcase',
  // References by number, which requests and responses are full of; the bound on how many is for documents of strangers.
  htmlEntities: true,
  processEntities: { enabled: true, maxTotalExpansions: Infinity, maxExpandedLength: Infinity },
});

/** What is read of the JUnit report. */
interface JunitReport {
  readonly testsuites?: { readonly testsuite?: JunitSuite };
}

interface JunitSuite extends Readonly<Record<(typeof counters)[number], string | undefined>> {
  readonly testcase?: readonly JunitTest[];
}

const counters = ['tests', 'failures', 'errors', 'skipped', 'disabled'] as const;

interface JunitTest {
  readonly name: string;
  readonly status: 'passed' | 'skipped' | 'failure' | 'error';
  readonly 'system-out'?: string;
  readonly 'system-err'?: string;
}

/** The counts and the tests of junit.xml. */
export function readTests(xml: string): Pick<Results, 'counts' | 'problems'> {
  if (!xml.trimEnd().endsWith('</testsuites>')) throw new Error('junit.xml ends too early');
  const suite = (parser.parse(xml) as JunitReport).testsuites?.testsuite;
  const tests = suite?.testcase ?? [];
  if (suite === undefined || tests.length === 0) throw new Error('junit.xml has no tests');
  // Those that are 0 may be left out.
  const [all = 0, failures = 0, errors = 0, skipped = 0, disabled = 0] = counters.map((name) =>
    Number(suite[name] ?? 0),
  );
  const failed = failures + errors;
  const left = skipped + disabled;
  return {
    counts: { passed: all - failed - left, failed, skipped: left },
    problems: tests.filter(({ status }) => status !== 'passed').map(problem),
  };
}

function problem(test: JunitTest): Problem {
  return {
    outcome: test.status === 'skipped' ? 'skipped' : 'failed',
    name: test.name.replace(/^OCI Conformance Test\//, ''),
    message: shorten(test['system-out'] ?? whySkipped(test['system-err'] ?? '')),
  };
}

/** A test that was not tried says why at the end of its log only. */
function whySkipped(log: string): string {
  return /skipping test:\s+([^]*)$/.exec(log)?.[1] ?? 'no reason given';
}

function shorten(message: string): string {
  const line = message
    .trim()
    .replace(/\b(sha256|sha512):[0-9a-f]{8,}/g, '$1:…')
    .replace(/\s*\n\s*/g, '; ');
  return line.length > MESSAGE_LENGTH ? `${line.slice(0, MESSAGE_LENGTH)}…` : line;
}
