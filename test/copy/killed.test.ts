import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { memoryEnvironment, memoryFlags } from '../../lib/commands/low-memory.ts';
import type { Digest } from '../../lib/protocol/digests.ts';
import { layerLink } from '../../lib/registry/layout.ts';
import { exists } from '../../lib/registry/links.ts';
import { runStowage } from '../infra/run-node.ts';
import { digestOf, freshName, pull, pushManifest, tagsOf, v1 } from '../registry/undo/images.ts';
import { cleanEnvironment } from '../servers/process.ts';
import { programFile } from '../servers/programs.ts';
import { requires } from '../servers/requires.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { alice, startUpstreams, type Upstreams } from '../upstream/upstreams.ts';
import { pushBlob } from './attached.ts';

let upstreams: Upstreams;
let storage: TestStorage;

before(async () => {
  upstreams = await startUpstreams();
  storage = await folderStorage();
});

after(async () => {
  await upstreams.stop();
  storage.remove();
});

it(
  'stowage copy that is killed leaves no tag, and the next one fetches what is missing',
  requires('docker-registry'),
  async () => {
    const [from, to] = [freshName(), freshName()];
    const blobs: Awaited<ReturnType<typeof pushBlob>>[] = [];
    for (let i = 0; i < 6; i++) blobs.push(await pushBlob(upstreams.store, from, randomBytes(300_000)));
    const [config, ...layers] = blobs;
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
    await pushManifest(upstreams.store, from, bytes, 'v1');

    const { url } = upstreams.withTokens;
    const auth = Buffer.from(`${alice.user}:${alice.password}`).toString('base64');
    const authFile = join(storage.settings['REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY'] ?? '', 'auth.json');
    await writeFile(authFile, JSON.stringify({ auths: { [url.host]: { auth } } }));
    const env = { ...storage.settings, REGISTRY_AUTH_FILE: authFile };
    const args = ['copy', `${url.host}/${from}:v1`, to, '--plain-http', '--private-addresses'];
    const store = await storage.open();
    const missing = async () => {
      const there = blobs.map(async ({ digest }) => await exists(store, layerLink(to, digest)));
      const flags = await Promise.all(there);
      return blobs.filter((_, i) => !flags[i]).map(({ digest }) => digest);
    };

    // The last never ends.
    const stalled = layers.at(-1)?.digest ?? assert.fail();
    upstreams.withTokens.fate = (seen) => (asksFor(seen.url, stalled) ? 'stall-body' : 'pass');
    const child = spawn(process.execPath, [...memoryFlags, programFile('lib/commands/stowage.ts'), ...args], {
      env: cleanEnvironment({ ...memoryEnvironment, ...env }),
      stdio: 'ignore',
    });
    while ((await missing()).length !== 1) await setTimeout(20);
    child.kill('SIGKILL');
    await once(child, 'close');
    assert.deepEqual(await missing(), [stalled]);
    assert.deepEqual(await tagsOf(store, to).catch(() => []), []);

    upstreams.withTokens.reset();
    const { code, errors } = await runStowage(args, env);
    assert.equal(code, 0, errors);
    const fetched = upstreams.withTokens.requests.filter(({ url: path }) => path.includes('/blobs/'));
    assert.ok(fetched.length > 0 && fetched.every(({ url: path }) => asksFor(path, stalled)));
    assert.equal(await pull(store, to, v1), digestOf(bytes));
  },
);

function asksFor(path: string, digest: Digest): boolean {
  return path.endsWith(`/blobs/${digest}`);
}
