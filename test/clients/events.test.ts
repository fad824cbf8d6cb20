import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { dockerImageType } from '../functions/client.ts';
import { until } from '../notifications/delivering.ts';
import { receiver, type Receiver } from '../notifications/receiver.ts';
import { dockerd, type Dockerd } from '../servers/dockerd.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { command } from '../servers/process.ts';
import { requires } from '../servers/requires.ts';
import { serve, type Stowage } from '../servers/stowage.ts';

interface Event {
  readonly action: string;
  readonly target: {
    readonly repository: string;
    readonly mediaType: string;
    readonly tag?: string;
  };
}

describe('docker and an endpoint of events', requires('dockerd'), () => {
  let folder: Folder;
  let daemon: Dockerd;
  let registry: Stowage;
  let receiving: Receiver;

  before(async () => {
    [folder, daemon, receiving] = await Promise.all([
      temporaryFolder('docker-events'),
      dockerd(),
      receiver(),
    ]);
    registry = await serve(join(folder.path, 'images'), {
      REGISTRY_NOTIFICATIONS_ENDPOINTS: JSON.stringify([
        {
          name: 'test',
          url: receiving.url,
          privateaddresses: true,
          actions: ['push', 'pull', 'mount', 'delete'],
        },
      ]),
    });
    const file = join(folder.path, 'file');
    await writeFile(file, randomBytes(1000));
    await command('tar', ['-cf', join(folder.path, 'app.tar'), '-C', folder.path, 'file']);
    await daemon.docker('import', join(folder.path, 'app.tar'), 'app');
  });

  after(async () => {
    await registry.stop();
    await Promise.all([daemon.stop(), receiving.stop()]);
    folder.remove();
  });

  const events = () =>
    receiving.received
      .flatMap(({ body }) => (JSON.parse(body) as { events: Event[] }).events)
      .map(({ action, target }) => [action, target.repository, target.tag ?? target.mediaType]);

  /** The last ones, once there are so many more. */
  let expected = 0;
  async function told(count: number): Promise<readonly unknown[]> {
    expected += count;
    await until(() => events().length >= expected);
    return events().slice(-count);
  }

  it('are the events of its pushes and pulls, and no others', async () => {
    const image = (name: string) => `${registry.address}/${name}`;
    await daemon.docker('tag', 'app', image('team/app:v1'));
    await daemon.docker('push', image('team/app:v1'));
    const blob = 'application/octet-stream';
    assert.deepEqual(await told(3), [
      ['push', 'team/app', blob],
      ['push', 'team/app', blob],
      ['push', 'team/app', 'v1'],
    ]);
    // Its layer is mounted.
    await daemon.docker('tag', 'app', image('team/other:v1'));
    await daemon.docker('push', image('team/other:v1'));
    assert.deepEqual((await told(3)).toSorted(), [
      ['mount', 'team/other', blob],
      ['push', 'team/other', blob],
      ['push', 'team/other', 'v1'],
    ]);
    await daemon.docker('rmi', 'app', image('team/app:v1'), image('team/other:v1'));
    await daemon.docker('pull', image('team/app:v1'));
    // The tag by HEAD, and its manifest by digest.
    assert.deepEqual((await told(4)).toSorted(), [
      ['pull', 'team/app', blob],
      ['pull', 'team/app', blob],
      ['pull', 'team/app', dockerImageType],
      ['pull', 'team/app', 'v1'],
    ]);
    await delay(500);
    assert.equal(events().length, 10);
  });
});
