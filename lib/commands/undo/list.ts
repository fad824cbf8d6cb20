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

/** Adds a repository to the list. A failure is reported. */
export async function recordRepository(opened: Opened, name: RepositoryName): Promise<void> {
  await change(opened, `the list of repositories lacks ${name} until the next reindex`, async () => {
    await (await opened.search.backend()).record(name);
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
