/** The official OCI distribution conformance suite, where it can be built. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { temporaryFolder } from '../servers/folder.ts';
import type { Registry } from '../servers/registry.ts';
import { requires, type Requirement } from '../servers/requires.ts';
import { problemsText } from './problems.ts';
import { registryKinds } from './registries.ts';
import { conforms } from './results.ts';
import { installSuite, specVersions, type Suite } from './suite.ts';
import { textTable } from './table.ts';

const folder = await temporaryFolder('conformance');
const installed = await installSuite(folder.path).catch((error: unknown) =>
  error instanceof Error ? error.message : String(error),
);

describe('OCI distribution conformance', needed(installed), () => {
  after(() => {
    folder.remove();
  });

  for (const kind of registryKinds)
    describe(kind.markdown, requires(...kind.needs), () => {
      let registry: Registry;

      before(async () => {
        registry = await kind.start();
      });

      after(async () => {
        await registry.stop();
      });

      // Both run the same tests with different reports: `npm run conformance` runs both on each.
      for (const version of kind.name === 'folder' ? specVersions : specVersions.slice(0, 1))
        it(`OCI distribution conformance, version ${version}`, async () => {
          const suite = theSuite();
          const results = await suite.run(registry.address, version, join(folder.path, kind.name, version));
          const table = textTable([{ kind, runs: [{ version, results }] }]);
          assert.ok(conforms(results), `${table}\n\n${problemsText([{ name: version, results }])}`);
        });
    });
});

function theSuite(): Suite {
  assert.ok(typeof installed === 'object');
  return installed;
}

/** Nothing here installs Go, and a machine may be offline: unlike where a server is missing, this is no mistake in CI either. */
function needed(outcome: Suite | string): Requirement {
  return typeof outcome === 'string' ? { skip: outcome } : {};
}
