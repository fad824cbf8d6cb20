import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { build } from 'esbuild';
import { bundling } from '../../../infra/bundling.ts';
import { runNode } from '../../infra/run-node.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { line, right } from './lines.ts';

const source = (name: string) =>
  JSON.stringify(join(import.meta.dirname, '../../../lib/access/htpasswd', name));

/** It says by its exit code whether a right password is right, and a wrong one wrong. */
const program = `
  import { Htpasswd } from ${source('htpasswd.ts')};
  const htpasswd = await Htpasswd.open({ kind: 'content', content: process.argv[2] }, { warn: console.error });
  const { name } = await htpasswd.verify('alice', process.argv[3], undefined);
  const wrong = await htpasswd.verify('alice', 'wrong', undefined).catch((error) => error.failure);
  console.log(name, wrong);
  await htpasswd.close();
`;

for (const minify of [false, true])
  it(`passwords are checked in a thread from a ${minify ? 'function' : 'command'}'s bundle`, async () => {
    const folder = await temporaryFolder('bundle');
    await build({
      ...bundling,
      stdin: { contents: program, resolveDir: import.meta.dirname, loader: 'ts' },
      outdir: folder.path,
      splitting: true,
      minify,
      keepNames: minify,
    });
    assert.ok(readdirSync(folder.path).length > 1);
    const ended = await runNode([join(folder.path, 'stdin.mjs'), line('alice'), right], {});
    assert.deepEqual(ended, { code: 0, output: 'alice UNAUTHORIZED\n', errors: '' });
    folder.remove();
  });
