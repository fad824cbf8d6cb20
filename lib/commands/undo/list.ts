import type { RepositoryName } from '../../protocol/names.ts';
import { reasonOf } from '../command.ts';
import type { Opened } from './open.ts';

/** Removes a repository from the list of repositories (SEARCH_BACKEND), if it is gone. A failure is reported. */
export async function forgetRepository(opened: Opened, name: RepositoryName): Promise<void> {
  await change(opened, `the list of repositories may have ${name} until the next reindex`, async () => {
    const { catalog } = opened.registry;
    await (await opened.search.backend()).forget(name, { has: async (one) => await catalog.has(one) });
  });
}

/** Adds repositories to the list. A failure is reported. */
export async function recordRepositories(opened: Opened, ...names: readonly RepositoryName[]): Promise<void> {
  if (names.length === 0) return;
  const what = names.length === 1 ? names.join() : 'some repositories';
  await change(opened, `the list of repositories lacks ${what} until the next reindex`, async () => {
    const backend = await opened.search.backend();
    for (const name of names) await backend.record(name);
  });
}

async function change(
  { config, search }: Opened,
  otherwise: string,
  work: () => Promise<void>,
): Promise<void> {
  if (config.search.kind === 'bucket') return;
  try {
    await work();
  } catch (error) {
    console.error(`${otherwise}: ${error instanceof Error ? reasonOf(error) : String(error)}`);
  } finally {
    await search.close();
  }
}
