import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { memoryEnvironment } from '../../lib/commands/low-memory.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { command } from '../servers/process.ts';
import { requires } from '../servers/requires.ts';

const unit = join(import.meta.dirname, '../../infra/systemd/stowage.service');
const text = await readFile(unit, 'utf8');
const folder = await temporaryFolder('systemd');

after(() => {
  folder.remove();
});

describe('the systemd unit', requires('systemd-analyze'), () => {
  it('has an exposure level below 3', async () => {
    const { text: report } = await command('systemd-analyze', [
      'security',
      '--offline=true',
      '--no-pager',
      unit,
    ]);
    const [, level] = /Overall exposure level for stowage\.service: ([\d.]+)/.exec(report) ?? [];
    assert.ok(Number(level) < 3, `it is ${level ?? report}`);
  });

  it('is understood by systemd in each line', async () => {
    // It looks for the program.
    const file = join(folder.path, 'stowage.service');
    await writeFile(file, text.replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`));
    const { errors } = await command('systemd-analyze', ['verify', '--man=no', file]);
    // Of this unit: the machine's own may have faults.
    assert.doesNotMatch(errors, /stowage/);
  });
});

describe('the lines of the systemd unit', () => {
  const valueOf = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1] ?? '';

  it('lets a stopped server drain: 5 s for new connections, the drain timeout, and 5 s to end', () => {
    const drain = Number(valueOf('Environment=REGISTRY_HTTP_DRAINTIMEOUT').replace(/s$/, ''));
    assert.equal(Number(valueOf('TimeoutStopSec')), drain + 10);
  });

  it('sets the variables that keep memory low', () => {
    for (const [name, value] of Object.entries(memoryEnvironment))
      assert.match(text, new RegExp(`^Environment=.*\\b${name}=${value}\\b`, 'm'));
  });
});
