import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, it, mock } from 'node:test';
import { reportDamage } from '../../lib/damage-log.ts';
import { tagLink } from '../../lib/registry/layout.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import { runToEnd } from '../infra/run-node.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { serve } from '../servers/stowage.ts';
import { Client } from './client.ts';

describe('the log of damaged objects', () => {
  afterEach(() => {
    mock.restoreAll();
  });

  it('damage is logged once an hour per object, with a limit on many objects', () => {
    const lines: string[] = [];
    const name = reportDamage((message, error) => lines.push(`${message} ${String(error)}`));
    let now = Date.now();
    mock.method(Date, 'now', () => now);
    name('a/b', new Error('why'));
    name('a/b', new Error('why'));
    assert.deepEqual(lines, ['skipped a/b, which is damaged or unreadable Error: why']);
    for (let i = 0; i < 1000; i++) name(`a/${i}`, new Error('why'));
    assert.equal(lines.length, 101);
    assert.match(lines.at(-1) ?? '', /more objects are damaged .* reported again after 60 minutes/);
    now += 61 * 60_000;
    name('a/b', new Error('why'));
    assert.match(lines.at(-1) ?? '', /skipped a\/b/);
  });

  it("damage is named in the registry's log, by a purge and by a reindex", async () => {
    const folder = await temporaryFolder('named');
    const registry = await serve(folder.path);
    const client = new Client(`http://${registry.address}`);
    const { digest } = await client.pushImage('team/app', '1');
    await client.pushImage('team/app', 'bad');
    const link = tagLink(parseRepositoryName('team/app'), parseTag('bad'));
    await fs.truncate(join(folder.path, link), 0);
    await client.must(202, { method: 'DELETE', path: `/v2/team/app/manifests/${digest}` });
    await registry.stop();
    const lines = registry.output().split('\n');
    const [line = '', ...more] = lines.filter((text) => text.includes(`skipped ${link}`));
    assert.deepEqual(more, []);
    assert.match(line, /"level":"warn".*holds no digest/);
    const multipart = '.tmp/multipart/00000000-0000-4000-8000-000000000000';
    await fs.mkdir(join(folder.path, multipart));
    await fs.writeFile(join(folder.path, multipart, 'upload'), 'rubbish');
    await fs.symlink('/nowhere', join(folder.path, 'docker/registry/v2/repositories/away'));
    const env = { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder.path };
    const sweep = await runToEnd(['purge-uploads'], env);
    assert.equal(sweep.code, 0);
    assert.ok(sweep.output.includes(`skipped ${multipart}, which is damaged`), sweep.output);
    const reindex = await runToEnd(['reindex'], env);
    assert.equal(reindex.code, 0);
    assert.match(reindex.output, /skipped docker\/registry\/v2\/repositories\/away\/, which .*: .*ENOENT/);
    folder.remove();
  });
});
