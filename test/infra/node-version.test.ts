/** What is built, on a Node that is too old for it: whichever the machine has beside the one that npm brings along. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { functionNames } from '../../infra/gateway.ts';
import { nodeFault } from '../../lib/node-version.ts';
import { runNode, runBuild } from './run-node.ts';

const dist = join(import.meta.dirname, '../../dist');

/** The first Node of the search path that will not do. */
function findOld(): string | undefined {
  const places = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'node'));
  return places.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return nodeFault(execFileSync(file, ['-p', 'process.versions.node']).toString().trim()) !== undefined;
    } catch {
      return false;
    }
  });
}

const old = findOld();

describe(
  'a Node that is too old',
  old === undefined ? { skip: 'needs a Node before 24 on the PATH' } : {},
  () => {
    const run = async (...args: readonly string[]) => await runNode(args, {}, old);

    before(async () => {
      const { code, output } = await runBuild();
      assert.equal(code, 0, output);
    });

    for (const args of [['--help'], ['serve'], ['purge-uploads'], ['reindex']])
      it(`stowage ${args.join(' ')} refuses an old Node in one line and exits with 1`, async () => {
        const { code, output, errors } = await run(join(dist, 'stowage.mjs'), ...args);
        assert.match(
          errors,
          /^Stowage needs Node 24 or newer, and \/.+ is \d+\.\d+\.\d+: run it with a newer one\.\n$/,
        );
        assert.deepEqual([code, output], [1, '']);
      });

    for (const name of functionNames)
      it(`the function ${name} does not start on an old Node`, async () => {
        const handler = pathToFileURL(join(dist, 'functions', `${name}.mjs`)).href;
        const load = `import(${JSON.stringify(handler)}).catch((error) => console.log(error.message))`;
        const { output, errors } = await run('--input-type=module', '--eval', load);
        assert.match(
          output,
          /^Stowage needs Node 24 or newer, and \/.+: set the function's runtime to nodejs24\.x\.\n$/,
        );
        assert.equal(errors, '');
      });
  },
);

it('newer versions of Node are accepted', () => {
  for (const version of ['24.0.0', '24.21.0', '100.1.2']) assert.equal(nodeFault(version), undefined);
  for (const version of ['22.23.3', '4.8.0']) assert.match(nodeFault(version) ?? '', /needs Node 24/);
});
