import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { functionNames } from '../../infra/gateway.ts';
import { runToEnd } from './run-node.ts';

const dist = join(import.meta.dirname, '../../dist');

it('a build takes nothing away from those who run another one, and leaves nothing else', async () => {
  const build = async () => {
    const { code, output } = await runToEnd(['bundle.ts'], {});
    assert.equal(code, 0, output);
  };
  await build();
  const needed = [
    ...functionNames.map((name) => join(dist, 'functions', `${name}.mjs`)),
    join(dist, 'serve.mjs'),
  ];
  const stale = join(dist, 'functions', 'of-an-older-build.mjs');
  writeFileSync(stale, '');
  const missing = new Set<string>();
  const watch = setInterval(() => {
    for (const file of needed) if (!existsSync(file)) missing.add(file);
  });
  await build();
  clearInterval(watch);
  assert.deepEqual([...missing], []);
  assert.ok(!existsSync(stale));
});
