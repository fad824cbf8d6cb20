/** A fault in a policy file. */
export interface PolicyFault {
  /** Line number, from 1. */
  readonly line: number;
  readonly message: string;
}

/** Faults in the message; `faults` has all. */
const maxInMessage = 100;

/** A policy file is invalid. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError';
  /** Sorted by line. */
  readonly faults: readonly PolicyFault[];

  constructor(faults: readonly PolicyFault[]) {
    const sorted = [...faults].sort((a, b) => a.line - b.line);
    const lines = sorted.slice(0, maxInMessage).map(({ line, message }) => `  - line ${line}: ${message}`);
    const more = sorted.length - lines.length;
    if (more > 0) lines.push(`  - and ${more} more`);
    super(['The policy is invalid:', ...lines].join('\n'));
    this.faults = sorted;
  }
}
