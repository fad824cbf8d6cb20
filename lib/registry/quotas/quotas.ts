import type { RepositoryName } from '../../protocol/names.ts';
import type { ObjectStore } from '../../storage/store.ts';
import type { Clock } from '../expiring-cache.ts';
import { QuotaRules, type Quota, type QuotaRule } from './quota.ts';
import { QuotaUses } from './uses.ts';

/** Where the rules in force come from. */
export interface QuotaSource {
  /** @throws RegistryError UNAVAILABLE if there never were valid ones */
  current(): Promise<{ readonly quotas: readonly QuotaRule[] }>;
}

/** The quota of a repository, with its use. */
export interface QuotaLimit {
  readonly quota: Quota;
  readonly uses: QuotaUses;
  /** Whether it is that of another repository as well. */
  readonly covers: (repository: RepositoryName) => boolean;
}

/** The quotas of a registry. */
export class Quotas {
  readonly #source: QuotaSource | undefined;
  readonly #uses: QuotaUses;
  #parsed: { readonly quotas: unknown; readonly rules: QuotaRules } | undefined;

  /** @param source undefined for a data plane, which learns of a quota from the upload */
  constructor(store: ObjectStore, source: QuotaSource | undefined, clock?: Clock) {
    this.#source = source;
    this.#uses = new QuotaUses(store, clock);
  }

  /** @returns undefined if there is no quota for the repository @throws RegistryError UNAVAILABLE */
  async limitOf(repository: RepositoryName): Promise<QuotaLimit | undefined> {
    const rules = await this.#rules();
    const quota = rules?.of(repository);
    if (quota === undefined) return undefined;
    return { quota, uses: this.#uses, covers: (other) => rules?.of(other)?.id === quota.id };
  }

  /** For an upload that was checked when it started: what it adds is recorded. @param id of its quota */
  limitOfUpload(id: string): QuotaLimit {
    const quota = { id, repositories: [], bytes: Number.POSITIVE_INFINITY };
    return { quota, uses: this.#uses, covers: () => false };
  }

  async #rules(): Promise<QuotaRules | undefined> {
    if (this.#source === undefined) return undefined;
    const { quotas } = await this.#source.current();
    if (this.#parsed?.quotas !== quotas) this.#parsed = { quotas, rules: new QuotaRules(quotas) };
    return this.#parsed.rules;
  }
}
