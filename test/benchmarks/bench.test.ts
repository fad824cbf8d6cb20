import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { temporaryFolder } from '../servers/folder.ts';
import { whyNotGo } from '../servers/go.ts';
import { command } from '../servers/process.ts';
import { medianOf, oursOf, type Results } from './results.ts';

const why = whyNotGo();

describe('npm run bench', why === undefined ? {} : { skip: why }, () => {
  it('measures a row, prints its line and writes its results', async () => {
    const folder = await temporaryFolder('bench-test');
    const json = join(folder.path, 'results.json');
    const program = join(import.meta.dirname, 'bench.ts');
    const args = ['--quick', '--rounds', '1', '--rows', '^folder/cpu-version$', '--json', json];
    const { text } = await command(process.execPath, [program, ...args]);
    assert.match(text, /^folder: CPU of GET \/v2\/ \(µs\) +\d/m);
    const { rows } = JSON.parse(readFileSync(json, 'utf8')) as Results;
    const [row] = rows;
    const own = row && oursOf(row);
    assert.equal(own?.samples.length, 1);
    assert.ok((medianOf(own) ?? 0) > 1);
    folder.remove();
  });
});
