import { createHash } from 'node:crypto';
import { ruleFor, type QuotaRule as Rule } from '../../access/policy/storage-rules.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { size } from '../../protocol/sizes.ts';

/** How many bytes some repositories may use together. */
export interface Quota {
  /** Names its objects in the bucket; the same for as long as its patterns are. */
  readonly id: string;
  /** Patterns of repositories. */
  readonly repositories: readonly string[];
  readonly bytes: number;
}

/** What the registry needs of a rule. */
export type QuotaRule = Pick<Rule, 'repositories' | 'bytes'>;

/** Quotas in order: the first that is about a repository counts. */
export class QuotaRules {
  readonly all: readonly Quota[];
  readonly #rules: readonly QuotaRule[];

  constructor(rules: readonly QuotaRule[]) {
    this.#rules = rules;
    this.all = rules.map(({ repositories, bytes }) => {
      const texts = repositories.map(({ text }) => text);
      return { id: idOf(texts), repositories: texts, bytes };
    });
  }

  of(repository: string): Quota | undefined {
    return this.all[this.indexOf(repository)];
  }

  /** The place of the quota in {@link all}; -1 if there is none. */
  indexOf(repository: string): number {
    const rule = ruleFor(this.#rules, repository);
    return rule === undefined ? -1 : this.#rules.indexOf(rule);
  }
}

/** 64 bits: of ten thousand quotas, no two have the same. */
function idOf(patterns: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(patterns)).digest('hex').slice(0, 16);
}

/** A push would exceed a quota. */
export class QuotaExceeded extends RegistryError {
  /** That refuses it, for the audit log. */
  readonly rule: string;

  /** @param added bytes that the push would add, as far as they are known */
  constructor({ repositories, bytes }: Quota, used: number, added: number) {
    const names = repositories.join(', ');
    const adding = added === 0 ? '' : `, and this would add ${size(added)}`;
    super(
      'DENIED',
      `the quota of ${names} is ${size(bytes)}, of which ${size(used)} are used${adding}; delete images that are not needed: ` +
        'garbage collection then makes room',
      [{ repositories, quota: bytes, used, ...(added > 0 && { added }) }],
    );
    this.rule = `quota of ${names}`;
  }
}
