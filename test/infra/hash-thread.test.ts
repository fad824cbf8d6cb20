import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { temporaryFolder } from '../servers/folder.ts';
import { command } from '../servers/process.ts';
import { serve, type Stowage } from '../servers/stowage.ts';

const module = pathToFileURL(join(import.meta.dirname, '../../lib/server/hash-thread.ts')).href;
const print = `import { createHashThread } from '${module}'; console.log(typeof (await createHashThread()));`;

/** Threads of JavaScript beside the main one. */
async function threads({ pid }: Stowage): Promise<number> {
  const folder = `/proc/${pid}/task`;
  const names = (await readdir(folder)).map(async (id) => await readFile(join(folder, id, 'comm'), 'utf8'));
  return (await Promise.all(names)).filter((name) => name.startsWith('WorkerThread')).length;
}

/** As docker does. */
async function push(address: string, bytes: Buffer): Promise<number> {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const start = await fetch(`http://${address}/v2/a/blobs/uploads/`, { method: 'POST' });
  const sent = await fetch(new URL(start.headers.get('location') ?? '', `http://${address}`), {
    method: 'PATCH',
    body: new Blob([new Uint8Array(bytes)]).stream(),
    duplex: 'half',
  });
  const end = new URL(sent.headers.get('location') ?? '', `http://${address}`);
  end.searchParams.set('digest', digest);
  return (await fetch(end, { method: 'PUT' })).status;
}

describe('the thread that hashes large uploads, in a server', () => {
  it('is not used on one core', async () => {
    const { text } = await command('taskset', ['-c', '0', process.execPath, '--eval', print]);
    assert.equal(text, 'undefined');
  });

  it('starts with the first large upload, and the server ends as usual', async (context) => {
    if (availableParallelism() < 2) {
      context.skip('this machine has one core');
      return;
    }
    const folder = await temporaryFolder('hash-thread');
    const server = await serve(folder.path);
    try {
      assert.equal(await push(server.address, randomBytes(1024 * 1024)), 201);
      assert.equal(await threads(server), 0);
      assert.equal(await push(server.address, randomBytes(9 * 1024 * 1024)), 201);
      assert.equal(await threads(server), 1);
    } finally {
      await server.stop();
      folder.remove();
    }
  });
});
