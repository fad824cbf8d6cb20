import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { receiver, type Receiver } from '../notifications/receiver.ts';
import { Client } from '../functions/client.ts';
import { runNode } from '../infra/run-node.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { freePort } from '../servers/ports.ts';
import { serve, type Stowage } from '../servers/stowage.ts';

interface Listed {
  readonly events: readonly {
    readonly id: string;
    readonly isGivenUp: boolean;
    readonly reason: string | null;
  }[];
}

describe('stowage events', () => {
  let folder: Folder;
  let receiving: Receiver;
  let registry: Stowage;
  let settings: Record<string, string>;

  before(async () => {
    [folder, receiving] = await Promise.all([temporaryFolder('events'), receiver()]);
    // It refuses all.
    receiving.answer((response) => response.writeHead(401).end());
    settings = {
      REGISTRY_LOG_LEVEL: 'error',
      REGISTRY_NOTIFICATIONS_ENDPOINTS: JSON.stringify([
        { name: 'builds', url: receiving.url, privateaddresses: true, threshold: 1, backoff: '100ms' },
        { name: 'down', url: `http://127.0.0.1:${await freePort()}/`, privateaddresses: true },
      ]),
    };
    registry = await serve(folder.path, settings);
    const client = new Client(`http://${registry.address}`);
    for (const blob of ['a', 'b']) await client.pushBlob('team/app', Buffer.from(blob));
    for (let ms = 0; (await listed('builds')).filter((one) => one.isGivenUp).length < 2; ms += 200) {
      assert.ok(ms < 20_000, 'nothing was given up');
      await delay(200);
    }
  });

  after(async () => {
    await receiving.stop();
    await registry.stop();
    folder.remove();
  });

  const run = async (...args: string[]) => {
    const env = { ...settings, REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder.path };
    const { code, output: text, errors } = await runNode(['lib/commands/stowage.ts', 'events', ...args], env);
    return { code, text, output: text + errors };
  };

  const listed = async (endpoint: string) =>
    (JSON.parse((await run('list', endpoint, '--json')).text) as Listed).events;

  it('lists what waits and what was given up', async () => {
    const { text } = await run('list');
    assert.match(text, /^ENDPOINT +WAITING +GIVEN UP +STATE\nbuilds +0 +2/);
    assert.match(text, /^down +2 +0 +failed \d+ times?, next attempt 20\S+: connect ECONNREFUSED 127/m);
    const { endpoints } = JSON.parse((await run('list', '--json')).text) as { endpoints: object[] };
    assert.match(JSON.stringify(endpoints[1]), /"reason":"connect ECONNREFUSED 127/);
    const [first] = await listed('builds');
    assert.match(first?.reason ?? '', /refused once: the receiver answered 401/);
    assert.match((await run('list', 'builds')).text, / push +team\/app@sha256:\w+ +given up: refused/);
  });

  it('refuses an event, a word or an option that there is not', async () => {
    const id = '00000000-0000-4000-8000-000000000000';
    assert.match((await run('replay', 'builds', id)).output, new RegExp(`no such event as ${id}`));
    for (const [args, message] of [
      [[], /say what to do: list, replay, purge/],
      [['replay'], /name the endpoint/],
      [['list', '--waiting'], /--waiting is of purge/],
      [['purge', 'builds', '--json'], /--json is of list/],
      [['list', '--all'], /--all is of list with the name of an endpoint/],
      [['replay', 'builds', 'badid', 'cache.yml'], /"badid" is no id of an event/],
      [['purge', 'builds', 'badid'], /"badid" is no id of an event/],
    ] as const) {
      const { code, output } = await run(...args);
      assert.equal(code, 2);
      assert.match(output, message);
    }
  });

  it('refuses the name of an endpoint that is nowhere, and names those that there are', async () => {
    for (const verb of ['list', 'replay', 'purge']) {
      const { code, output } = await run(verb, 'build');
      assert.equal(code, 1, verb);
      assert.match(output, /no endpoint build is in the settings.* there are: builds, down/);
    }
  });

  it('sends again what was given up, one or all, with the same id', async () => {
    receiving.answer((response) => response.end());
    const before = receiving.received.length;
    const ids = (await listed('builds')).map(({ id }) => id);
    assert.match((await run('replay', 'builds', '--dry-run')).text, /would replay 2 events of builds/);
    assert.match((await run('replay', 'builds', ids[1] ?? '')).text, /1 event of builds/);
    assert.match((await run('replay', 'builds')).text, /1 event of builds/);
    // A running server finds them within a minute, a new one at once.
    await registry.stop();
    registry = await serve(folder.path, settings);
    for (let ms = 0; receiving.received.length < before + 2; ms += 100) {
      assert.ok(ms < 20_000, 'nothing was sent again');
      await delay(100);
    }
    const sentIds = receiving.received
      .slice(before)
      .map(({ body }) => (JSON.parse(body) as { events: { id: string }[] }).events[0]?.id);
    assert.deepEqual(sentIds.toSorted(), ids.toSorted());
  });

  it('deletes what waits, and leaves an endpoint that is gone no events', async () => {
    assert.match(
      (await run('purge', 'down')).text,
      /^deleted 0 events of down\n2 still wait; --waiting deletes them\n$/,
    );
    assert.match((await run('purge', 'down', '--waiting')).text, /^deleted 2 events of down\n$/);
    assert.match((await run('list', 'down')).text, /No event waits for down, and none was given up/);
  });
});
