import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atExit } from '../servers/cleanup.ts';
import type { RegistryKind } from './registries.ts';
import type { SpecVersion } from './suite.ts';

/** A folder for what the suite writes. It goes when this process ends, unless it is kept. */
export class ReportsFolder {
  readonly #path = mkdtempSync(join(tmpdir(), 'stowage-conformance-reports-'));
  readonly #forget = atExit(() => {
    rmSync(this.#path, { recursive: true, force: true });
  });

  /** The place for one run. */
  of({ name }: Pick<RegistryKind, 'name'>, version: SpecVersion): string {
    return join(this.#path, `${name}-${version}`);
  }

  /** Returns its path. */
  keep(): string {
    this.#forget();
    return this.#path;
  }
}
