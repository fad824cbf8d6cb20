import type { Finding } from '../../maintenance/verify/findings.ts';
import type { VerifyCounts } from '../../maintenance/verify/inspection.ts';
import { count } from '../command.ts';
import { checked } from './progress.ts';

/** What became of a finding. `changed`: it was to be mended, and had changed meanwhile. */
export type Outcome = 'found' | 'would repair' | 'repaired' | 'changed';

/** Prints findings as they are found. */
export interface Report {
  add(finding: Finding, outcome: Outcome): void;
  /** Prints the sums. */
  end(): void;
  /** Findings of damage that were not mended. */
  readonly damage: number;
}

/** A line for each finding on standard output, and the sums on standard error. */
export function textReport(counts: VerifyCounts): Report {
  return report(
    (finding, outcome) => {
      const { severity, kind, key, problem, effect, remedy } = finding;
      const rest = outcome === 'found' ? `; ${remedy}` : '';
      console.log(`${wordOf(severity, outcome)} ${kind} ${key}: ${problem}; ${effect}${rest}`);
    },
    ({ damage, leftovers, repaired }) => {
      console.error(`checked ${checked(counts)}`);
      const parts = [
        `${count(damage, 'object')} damaged or missing`,
        ...(leftovers === 0 ? [] : [count(leftovers, 'leftover')]),
        ...(repaired === 0 ? [] : [`${repaired} repaired`]),
      ];
      console.error(damage + leftovers + repaired === 0 ? 'nothing is wrong' : parts.join(', '));
    },
  );
}

/** A line of JSON for each finding, and one with the sums at the end. */
export function jsonReport(counts: VerifyCounts): Report {
  return report(
    ({ repair, ...finding }, outcome) => {
      print({ type: 'finding', ...finding, repair: repair?.action, outcome });
    },
    (sums) => {
      print({ type: 'summary', version: 1, ...sums, checked: counts });
    },
  );
}

interface Sums {
  readonly damage: number;
  readonly leftovers: number;
  readonly repaired: number;
}

function report(add: Report['add'], end: (sums: Sums) => void): Report {
  const sums = { damage: 0, leftovers: 0, repaired: 0 };
  return {
    add: (finding, outcome) => {
      if (outcome === 'repaired') sums.repaired += 1;
      else if (outcome === 'found' || outcome === 'would repair')
        sums[finding.severity === 'damage' ? 'damage' : 'leftovers'] += 1;
      add(finding, outcome);
    },
    end: () => {
      end(sums);
    },
    get damage() {
      return sums.damage;
    },
  };
}

function wordOf(severity: Finding['severity'], outcome: Outcome): string {
  return outcome === 'found' ? severity : outcome === 'changed' ? 'changed meanwhile:' : `${outcome}:`;
}

function print(value: unknown): void {
  console.log(JSON.stringify(value));
}
