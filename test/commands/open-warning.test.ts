import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { serve } from '../servers/stowage.ts';

let storage: TestStorage;

before(async () => {
  storage = await folderStorage();
});
after(() => {
  storage.remove();
});

async function warned(settings: Readonly<Record<string, string>>): Promise<string> {
  const registry = await serve(storage.settings, settings);
  await registry.stop();
  return /It is open: .*/.exec(registry.output())?.[0] ?? '';
}

it('a registry without access control says what everybody may do there', async () => {
  assert.match(await warned({}), /may push and delete/);
  const whole = { REGISTRY_PROXY_REMOTEURL: 'https://registry.example.com' };
  for (const settings of [whole, { REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: 'true' }])
    assert.match(await warned(settings), /may pull all that it serves/);
});
