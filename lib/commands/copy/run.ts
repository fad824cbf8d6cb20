import { copyImage, type Copied, type CopyOptions } from '../../copy/copy-image.ts';
import type { CopySource } from '../../copy/source.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Reference } from '../../protocol/references.ts';
import { size } from '../../protocol/sizes.ts';
import { count, reasonOf } from '../command.ts';
import { recordRepositories } from '../undo/list.ts';
import { logChange } from '../undo/open.ts';
import { shownImage } from './image-name.ts';
import type { Copies } from './open.ts';

/** An image that is to be copied. */
export interface Job extends Pick<CopyOptions, 'tag' | 'platforms' | 'referrers' | 'knownTags'> {
  readonly source: CopySource;
  readonly reference: Reference;
  readonly target: RepositoryName;
}

/** How the outcome of jobs is told. */
export interface Report {
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** What became of a job, or of what should have become jobs. */
interface Outcome {
  readonly source: string;
  readonly target: string;
  readonly copied?: Copied;
  readonly error?: string;
}

/** Copies images one after another. One that fails stops no other. */
export class Run {
  readonly #copies: Copies;
  readonly #report: Report;
  readonly #outcomes: Outcome[] = [];
  readonly #changed = new Set<RepositoryName>();

  constructor(copies: Copies, report: Report) {
    this.#copies = copies;
    this.#report = report;
  }

  async copy(job: Job): Promise<void> {
    const { source, reference, target: name, tag } = job;
    const from = `${source.title}${reference.kind === 'tag' ? `:${reference.tag}` : `@${reference.digest}`}`;
    const shown = shownImage({ host: undefined, name, reference: tag && { kind: 'tag', tag } });
    await this.attempt(from, shown, async () => {
      const { dryRun } = this.#report;
      const copied = await copyImage(source, await this.#copies.target(name), reference, { ...job, dryRun });
      this.#add({ source: from, target: shown, copied });
      if (dryRun || copied.manifests === 0) return;
      this.#changed.add(name);
      const fields = { source: from, repository: name, ...(tag && { tag }), to: copied.digest };
      logChange(this.#copies.opened, { command: 'copy', ...fields });
    });
  }

  /** Does something about images, whose failure is an outcome. */
  async attempt(source: string, target: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#add({ source, target, error: error instanceof Error ? reasonOf(error) : String(error) });
    }
  }

  /** @returns the exit code */
  async end(): Promise<number> {
    await recordRepositories(this.#copies.opened, ...this.#changed);
    if (this.#report.json) console.log(this.#toJson());
    return this.#outcomes.some(({ error }) => error !== undefined) ? 1 : 0;
  }

  #add(outcome: Outcome): void {
    this.#outcomes.push(outcome);
    if (this.#report.json) return;
    const { source, target, copied, error } = outcome;
    if (copied !== undefined) console.log(describe(source, target, copied, this.#report.dryRun));
    else console.error(`FAILED ${source} to ${target}: ${String(error)}`);
  }

  #toJson(): string {
    const images = this.#outcomes.map(({ source, target, copied, error }) => {
      if (copied === undefined) return { source, target, status: 'failed', error };
      const { isThere, ...rest } = copied;
      return { source, target, status: isThere ? 'present' : 'copied', ...rest };
    });
    return JSON.stringify({ version: 1, isDryRun: this.#report.dryRun, images }, undefined, 2);
  }
}

function describe(source: string, target: string, copied: Copied, dryRun: boolean): string {
  const { digest, isThere, manifests, referrers, blobs, bytes } = copied;
  const attached = `${count(referrers, 'manifest')} attached to it`;
  if (isThere) return `${target} is ${digest} already${referrers === 0 ? '' : `; added ${attached}`}`;
  const what = `${source} to ${target} at ${digest}`;
  if (dryRun) return `would copy ${what}`;
  const parts = [
    count(manifests, 'manifest'),
    ...(referrers === 0 ? [] : [`of these ${attached}`]),
    count(blobs, 'new blob'),
    ...(bytes === 0 ? [] : [`${size(bytes)} transferred`]),
  ];
  return `copied ${what}: ${parts.join(', ')}`;
}
