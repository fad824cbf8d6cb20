import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

interface Cost {
  readonly what: string;
  readonly reader: string;
  readonly answer: string;
  /** CPU time. */
  readonly milliseconds: number;
  readonly megabytes: number;
}

/** Three times the promised 150 ms and 100 MB, since machines and garbage collections differ. */
const limits = { milliseconds: 450, megabytes: 300 };

describe('a hostile manifest of 4 MiB', () => {
  const script = join(import.meta.dirname, '../benchmarks/manifests.ts');
  const readers = ['parseManifest', 'readReferrer', 'defaultChild', 'withSignatures'];
  let costs: readonly Cost[];

  before(() => {
    const args = ['--expose-gc', script, '4', ...readers];
    // Under coverage, each of its loops takes several times as long.
    const env = { ...process.env, NODE_V8_COVERAGE: undefined };
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env });
    assert.equal(status, 0, stderr);
    costs = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Cost);
  });

  for (const reader of readers)
    it(`${reader} reads hostile manifests of 4 MiB in little time and memory`, () => {
      const its = costs.filter((cost) => cost.reader === reader);
      assert.ok(its.length > 50);
      const tooMuch = its.filter(
        (cost) => cost.milliseconds > limits.milliseconds || cost.megabytes > limits.megabytes,
      );
      assert.deepEqual(tooMuch, []);
    });
});
