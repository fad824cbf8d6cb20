import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fill } from '../maintenance/collection/filled-bucket.ts';
import { cleanEnvironment } from '../servers/process.ts';
import { requires } from '../servers/requires.ts';
import { folderStorage } from '../servers/storage.ts';

const stowage = fileURLToPath(new URL('../../lib/commands/stowage.ts', import.meta.url));

it('stowage gc shows its progress on a terminal, and takes it away', requires('script'), async () => {
  const storage = await folderStorage();
  await fill(await storage.open());
  const command = `'${process.execPath}' '${stowage}' gc --dry-run --older-than=0h`;
  const { stdout } = spawnSync('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    env: { ...cleanEnvironment(storage.settings), TERM: 'xterm' },
    timeout: 60_000,
  });
  storage.remove();
  const [line = '', ...others] = stdout.toString().split('\r\n').slice(1);
  // Drawn, and erased before what stays is printed.
  assert.match(
    line,
    /links of repositories: 1 {2}also\/has-it.*blobs: 1 .*\x1b\[2Kalso\/has-it: 0 manifests/,
  );
  assert.match(others.join('\n'), /^could be freed: /m);
});
