import { count } from '../command.ts';
import { harmless } from '../harmless.ts';
import type { Result } from './run.ts';

/** The object that --json prints; docs/commands.md describes it. Fields are added, and none is changed or removed. */
export interface Report {
  readonly version: 1;
  readonly url: string;
  readonly repository: string;
  /** Whether no check failed. */
  readonly passed: boolean;
  readonly checks: readonly Result[];
  /** What stays in the registry, as sentences. */
  readonly left: readonly string[];
}

/** What --json prints. */
export function jsonOf(report: Report): string {
  return JSON.stringify(
    report,
    (_, value: unknown) => (typeof value === 'string' ? harmless(value) : value),
    2,
  );
}

const labels: Readonly<Record<Result['status'], string>> = { passed: 'ok', failed: 'FAILED', skipped: '-' };

/** A line for a person, and three more for a failure. */
export function textOf({ status, title, note, finding }: Result): string {
  const line = `${labels[status].padEnd(8)}${title}${note === undefined ? '' : ` (${note})`}`;
  if (finding === undefined) return line;
  const { asked, came, change } = finding;
  return [
    line,
    ...[`asked:  ${asked}`, `came:   ${came}`, `change: ${change}`].map((text) => `        ${text}`),
  ]
    .map(harmless)
    .join('\n');
}

/** The last lines. */
export function summaryOf({ checks, left }: Pick<Report, 'checks' | 'left'>): string {
  const of = (status: Result['status']) => checks.filter((result) => result.status === status).length;
  const [failed, skipped] = [of('failed'), of('skipped')];
  const counts = [
    `${count(of('passed'), 'check')} passed`,
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
  ];
  return [`\n${counts.join(', ')}.`, ...left.map((text) => harmless(`Left in the registry: ${text}.`))].join(
    '\n',
  );
}
