import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { Client } from '../functions/client.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { makeReadOnly, mountFolder, mountMemory, requiresMounts } from '../servers/mounts.ts';
import { serve } from '../servers/stowage.ts';
import { assertReads, pushContent, withoutIndex, writes, type Content } from './read-only-reads.ts';

const folder = await temporaryFolder('infra-read-only');
const at = (...names: string[]): string => join(folder.path, ...names);
const images = at('images');
const list = at('images', 'list', 'repositories');

describe('a registry that can write nothing', requiresMounts(), () => {
  let content: Content;

  before(async () => {
    const env = { SEARCH_BACKEND: 'LOCAL', SEARCH_BACKEND_LOCAL: list };
    const registry = await serve(images, env);
    content = await pushContent(`http://${registry.address}`);
    await registry.stop();
    await withoutIndex(await FilesystemStore.open(images));
    // As distribution has it.
    for (const own of ['.tmp', '.metadata']) await fs.rm(join(images, own), { recursive: true });
  });

  after(() => {
    folder.remove();
  });

  const cases: Readonly<Record<string, (root: string) => Promise<void> | void>> = {
    'a read-only mount of a folder of distribution': (root) => {
      mountFolder(images, root);
      makeReadOnly(root);
    },
    'a read-only mount of the images alone': (root) => {
      mountFolder(join(images, 'docker'), join(root, 'docker'));
      makeReadOnly(join(root, 'docker'));
    },
    'a read-only mount of a folder of ours': async (root) => {
      await fs.cp(images, `${root}-copy`, { recursive: true });
      await FilesystemStore.open(`${root}-copy`);
      mountFolder(`${root}-copy`, root);
      makeReadOnly(root);
    },
  };

  for (const [i, [what, arrange]] of Object.entries(cases).entries())
    it(`a registry without write access serves every read on ${what} and explains why it refuses writes`, async () => {
      const root = at(`root-${i}`);
      await arrange(root);
      // The bucket as the list, and a file that cannot be written to.
      for (const env of [
        {},
        { SEARCH_BACKEND: 'LOCAL', SEARCH_BACKEND_LOCAL: join(root, 'list', 'repositories') },
      ]) {
        if ('SEARCH_BACKEND' in env && i === 1) continue;
        const registry = await serve(root, env);
        const client = new Client(`http://${registry.address}`);
        try {
          await assertReads(client.base, content);
          for (const ask of writes(content)) await client.must(503, ask);
          await assertReads(client.base, content);
        } finally {
          await registry.stop();
        }
        const log = registry.output();
        assert.match(
          log,
          /root-\d(\/docker)? cannot be written to \(Error: EROFS[^"]*\): what is there is served/,
        );
        if ('SEARCH_BACKEND' in env) assert.match(log, /SEARCH_BACKEND_LOCAL: [^"]* can only be read/);
        assert.match(log, /"a request failed"/);
        assert.match(log, /\(EROFS\); it is read-only/);
        assert.doesNotMatch(log, /brought up to date/);
      }
    });

  it('a registry on a full disk serves every read, and takes writes again once there is room', async () => {
    const root = at('full');
    mountMemory(root, '4m');
    await fs.cp(images, root, { recursive: true });
    const filler = join(root, 'filler');
    const fill = async () => {
      await fs.appendFile(filler, Buffer.alloc(4096)).catch(() => undefined);
      const big = Buffer.alloc(5 * 1024 * 1024);
      await fs.appendFile(filler, big).catch(() => undefined);
      await fs.appendFile(filler, Buffer.alloc(1)).catch(() => undefined);
    };
    await fill();
    const registry = await serve(root, {
      SEARCH_BACKEND: 'LOCAL',
      SEARCH_BACKEND_LOCAL: join(root, 'list', 'repositories'),
    });
    const client = new Client(`http://${registry.address}`);
    try {
      await assertReads(client.base, content);
      const [start = assert.fail()] = writes(content);
      await client.must(503, start);
      await assertReads(client.base, content);
      await fs.rm(filler);
      await client.pushImage('other/app', '1');
    } finally {
      await registry.stop();
    }
    assert.match(registry.output(), /\(ENOSPC\); make room there/);
  });

  it(
    'a registry serves a folder that its user may only read',
    { skip: process.getuid?.() !== 0 && 'needs root' },
    async () => {
      const root = at('foreign');
      await fs.cp(images, root, { recursive: true });
      await fs.chmod(folder.path, 0o755);
      const warnings: string[] = [];
      process.seteuid?.(65534);
      try {
        const store = await FilesystemStore.open(root, { warn: (message) => warnings.push(message) });
        const { referrers } = createRegistry(store);
        const subject = parseDigest(content.image.digest);
        for (let round = 1; round <= 2; round++) {
          const page = { n: 100, last: undefined };
          const { descriptors } = await referrers.list(
            parseRepositoryName('team/app'),
            subject,
            page,
            undefined,
          );
          assert.deepEqual(descriptors.map(({ digest }) => digest).sort(), content.referrers);
        }
        await assert.rejects(
          store.put('a/b', Buffer.of(1)),
          /EACCES.*give the registry's user the right to it: it belongs to user 0 and .* run chown -R 65534:/,
        );
      } finally {
        process.seteuid?.(0);
      }
      assert.match(warnings.join(), /foreign cannot be written to \(Error: EACCES/);
    },
  );

  it('a registry does not start on an empty read-only folder', async () => {
    const root = at('empty');
    mountFolder(at('nothing'), root);
    makeReadOnly(root);
    await assert.rejects(FilesystemStore.open(root), /\(EROFS\); it is read-only/);
  });
});
