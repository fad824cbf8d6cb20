import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { parse } from 'yaml';
import { loadConfig } from '../../lib/config/config.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { goProgramPlace } from '../servers/go-programs.ts';
import { command } from '../servers/process.ts';
import { requires } from '../servers/requires.ts';

const root = join(import.meta.dirname, '../..');
const folder = await temporaryFolder('compose');

after(() => {
  folder.remove();
});

/** What is used here of a service. */
interface Service {
  readonly image: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly ports: readonly {
    readonly host_ip: string;
    readonly target: number;
    readonly published: string;
  }[];
  readonly stop_grace_period: string;
}

describe('compose.yaml', requires('compose-go'), () => {
  /** What docker compose makes of the file after a change. */
  const serviceOf = async (change: (text: string) => string) => {
    const file = join(folder.path, 'compose.yaml');
    await writeFile(file, change(await readFile(join(root, 'compose.yaml'), 'utf8')));
    const { text } = await command(goProgramPlace('compose-go').file, [file]);
    const { services } = parse(text) as { services: { registry: Service } };
    return services.registry;
  };

  const withBucket = (text: string) =>
    text.replaceAll(/^( +)# (REGISTRY_\w+: )/gm, '$1$2').replace(/ +volumes:\n.*images:.*\n/, '');

  it('is valid, and its registry is open to this machine alone', async () => {
    const { image, environment, ports } = await serviceOf((text) => text);
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    assert.equal(image, `stowage:${version}`);
    assert.deepEqual(
      ports.map(({ host_ip: host, target, published }) => [host, target, published]),
      [['127.0.0.1', 5000, '5000']],
    );
    const { storage, auth } = loadConfig('server', { STOWAGE_IMAGE: 'true', ...environment });
    assert.deepEqual(storage, { kind: 'filesystem', rootDirectory: '/var/lib/registry' });
    assert.equal(auth.kind, 'none');
  });

  it('is valid for a bucket, whose keys it demands', async () => {
    // This program of the parser does not pass it the environment.
    const withKeys = (text: string) => withBucket(text).replaceAll(/\$\{\w+:\?\}/g, 'x'.repeat(64));
    const { environment } = await serviceOf(withKeys);
    assert.equal(loadConfig('server', { STOWAGE_IMAGE: 'true', ...environment }).storage.kind, 's3');
    await assert.rejects(serviceOf(withBucket), /required variable REGISTRY_STORAGE_S3_ACCESSKEY is missing/);
  });

  it('lets a stopped registry drain', async () => {
    const { environment, stop_grace_period: period } = await serviceOf((text) => text);
    assert.equal(environment['REGISTRY_HTTP_DRAINTIMEOUT'], '10m');
    assert.equal(period, '10m10s');
  });
});
