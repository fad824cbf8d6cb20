import { shownRule, type RetentionRule } from '../../access/policy/storage-rules.ts';
import { formatAge } from '../../protocol/durations.ts';
import type { PlannedManifest, PlannedTag } from '../../retention/plan.ts';
import { count } from '../command.ts';

/** Prints a plan as it is made: it may be of any size. */
export interface Printer {
  withoutRule(repository: string): void;
  tag(tag: PlannedTag): void;
  /** One that goes, and has no tag. */
  manifest(manifest: PlannedManifest): void;
  end(): void;
}

/** As it is written for docker. */
export function shownPlanned(one: PlannedTag | PlannedManifest): string {
  return 'tag' in one ? `${one.repository}:${one.tag}` : `${one.repository}@${one.digest}`;
}

export function printerFor(isJson: boolean, rules: readonly RetentionRule[]): Printer {
  return isJson ? new JsonPrinter(rules) : new TextPrinter(rules);
}

class TextPrinter implements Printer {
  readonly #rules: readonly RetentionRule[];
  #kept = 0;
  #removed = 0;
  #evicted = 0;

  constructor(rules: readonly RetentionRule[]) {
    this.#rules = rules;
  }

  withoutRule(repository: string): void {
    console.log(`keep    ${repository}: no rule is about this repository`);
  }

  tag(tag: PlannedTag): void {
    if (tag.removes) this.#removed += 1;
    else this.#kept += 1;
    this.#line(tag);
  }

  manifest(manifest: PlannedManifest): void {
    this.#evicted += 1;
    this.#line(manifest);
  }

  #line(one: PlannedTag | PlannedManifest): void {
    const { rule, removes, reason } = one;
    console.log(`${removes ? 'remove' : 'keep  '}  ${shownPlanned(one)}: ${shownRule(rule)}: ${reason}`);
  }

  end(): void {
    for (const rule of this.#rules)
      if (rule.untaggedAfterMs !== undefined)
        console.log(
          `${shownRule(rule)}: garbage collection removes manifests without a tag after ${formatAge(rule.untaggedAfterMs)}`,
        );
    const evicted =
      this.#evicted === 0 ? '' : `, and remove ${count(this.#evicted, 'manifest')} without a tag`;
    console.log(`would remove ${count(this.#removed, 'tag')} and keep ${this.#kept}${evicted}`);
  }
}

/** One JSON object, written piece by piece. */
class JsonPrinter implements Printer {
  #separator = '';

  constructor(rules: readonly RetentionRule[]) {
    const shown = rules.map(({ label, line, untaggedAfterMs }) => ({
      label,
      line,
      untaggedAfterMs: untaggedAfterMs ?? null,
    }));
    process.stdout.write(`{"version":1,"rules":${JSON.stringify(shown)},"tags":[`);
  }

  withoutRule(repository: string): void {
    this.#write({ repository, tag: null, rule: null, removes: false, reason: 'no rule' });
  }

  tag({ repository, tag, rule, removes, reason, pushed }: PlannedTag): void {
    this.#write({ repository, tag, rule: rule.label, removes, reason, pushed });
  }

  manifest({ repository, digest, rule, removes, reason }: PlannedManifest): void {
    this.#write({ repository, tag: null, digest, rule: rule.label, removes, reason });
  }

  #write(entry: object): void {
    process.stdout.write(`${this.#separator}\n${JSON.stringify(entry)}`);
    this.#separator = ',';
  }

  end(): void {
    process.stdout.write('\n]}\n');
  }
}
