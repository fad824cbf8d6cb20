import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { writeFileSync, mkdirSync } from 'node:fs';
import { it } from 'node:test';
import { Catalog } from '../../lib/registry/catalog.ts';
import { repositoriesPrefix } from '../../lib/registry/layout.ts';
import { BucketSearch } from '../../lib/search/bucket-search.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { memoryFolder } from '../servers/folder.ts';
import { assertPages, backendSuite, manyNames } from './backend-suite.ts';
import { onFolder } from './bucket-ground.ts';

backendSuite('that is a folder', {}, onFolder, 60);

it('100,000 repositories of a folder are listed in pages, in order and each once', async () => {
  const folder = await memoryFolder('many');
  const names = manyNames(100_000);
  for (const name of names) {
    // One file for each: the content of a repository does not matter.
    const path = join(folder.path, repositoriesPrefix, name);
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, '_layers'), '');
  }
  const store = await FilesystemStore.open(folder.path);
  await assertPages(new BucketSearch(new Catalog(store)), names);
  // In Node this takes as long as all of the above.
  execFileSync('rm', ['-rf', folder.path]);
  folder.remove();
});
