import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { digestOf, send, type Reply } from '../functions/client.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { functionsAndDataPlane, type Stowage } from '../servers/stowage.ts';
import { bearer, policySettings, type PolicySettings } from './policy-registry.ts';

const policy = `
rules:
  - { name: drop box, who: anonymous, repositories: drop/**, allow: [pull, push] }
  - { name: writers, who: alice, repositories: team/**, allow: [pull, push] }
`;

type Line = Readonly<Record<string, unknown>>;

const blob = randomBytes(100);
const digest = digestOf(blob);

describe('the audit log of a data plane', () => {
  let folder: Folder;
  let access: PolicySettings;
  let registry: Stowage;
  let url: string;
  let alice: Record<string, string>;
  before(async () => {
    folder = await temporaryFolder('audit');
    access = await policySettings(policy, ['alice']);
    const settings = { ...access.settings, REGISTRY_LOG_LEVEL: 'error' };
    registry = await functionsAndDataPlane(folder.path, undefined, settings);
    url = `http://${registry.address}`;
    alice = await bearer(url, 'alice', 'repository:team/app:pull,push');
  });
  after(async () => {
    await registry.stop();
    access.remove();
    folder.remove();
  });

  /** The lines of one repository, once there are so many. */
  async function linesOf(repository: string, count: number): Promise<Line[]> {
    const lines = () =>
      registry
        .output()
        .split('\n')
        .filter((line) => line.includes('"audit"'))
        .map((line) => JSON.parse(line) as Line)
        .filter((line) => line['repository'] === repository);
    for (let tries = 0; tries < 200 && lines().length < count; tries++) await delay(10);
    return lines();
  }

  const summary = (lines: readonly Line[]) =>
    lines.map(({ msg, method, actor, rule, address }) => [msg, method, actor, rule, address]);

  const start = async (repository: string, headers: Record<string, string> = {}): Promise<string> => {
    const answer = await send(url, { method: 'POST', path: `/v2/${repository}/blobs/uploads/`, headers });
    assert.equal(answer.status, 202);
    return locationOf(answer);
  };

  /** Path and query, with no credentials but those. */
  const locationOf = ({ headers }: Reply): string => {
    const { pathname, search } = new URL(String(headers.location), url);
    return `${pathname}${search}`;
  };

  it('names who was granted the upload, and the rule, in each of its writes', async () => {
    const patched = await send(url, { method: 'PATCH', path: await start('team/app', alice), body: blob });
    assert.equal(patched.status, 202);
    const put = await send(url, { method: 'PUT', path: `${locationOf(patched)}&digest=${digest}` });
    assert.equal(put.status, 201);
    const cancelled = await send(url, { method: 'DELETE', path: await start('team/app', alice) });
    assert.equal(cancelled.status, 204);
    const granted = (method: string) => ['granted', method, 'alice', 'rule 2 (writers)', '127.0.0.1'];
    assert.deepEqual(
      summary(await linesOf('team/app', 5)).toSorted(),
      ['POST', 'PATCH', 'PUT', 'POST', 'DELETE'].map(granted).toSorted(),
    );
  });

  it('names anonymous where everybody may push', async () => {
    const patched = await send(url, { method: 'PATCH', path: await start('drop/it'), body: blob });
    assert.equal(patched.status, 202);
    assert.deepEqual(
      summary(await linesOf('drop/it', 2)).toSorted(),
      ['PATCH', 'POST'].map((method) => ['granted', method, 'anonymous', 'rule 1 (drop box)', '127.0.0.1']),
    );
  });

  it('has a line for a write without a valid signature, whatever its credentials', async () => {
    const path = await start('team/app', alice);
    const elsewhere = path.replace('/team/app/', '/team/other/');
    for (const forged of [elsewhere, elsewhere.replace(/\?.*/, ''), `${elsewhere}x`]) {
      const { status } = await send(url, { method: 'PATCH', path: forged, body: blob, headers: alice });
      assert.ok(status === 400 || status === 404, String(status));
    }
    const denied = ['denied', 'PATCH', 'anonymous', undefined, '127.0.0.1'];
    assert.deepEqual(summary(await linesOf('team/other', 3)), [denied, denied, denied]);
  });

  it('has none for reads of an upload', async () => {
    const path = await start('team/read', {
      ...(await bearer(url, 'alice', 'repository:team/read:pull,push')),
    });
    assert.equal((await send(url, { method: 'GET', path })).status, 204);
    await send(url, { method: 'DELETE', path });
    assert.deepEqual(
      summary(await linesOf('team/read', 2)).map(([, method]) => method),
      ['POST', 'DELETE'],
    );
  });
});

describe('the audit log of a data plane without access control', () => {
  it('has no lines', async () => {
    const folder = await temporaryFolder('audit');
    const registry = await functionsAndDataPlane(folder.path, undefined, { REGISTRY_AUTH: 'none' });
    const url = `http://${registry.address}`;
    const { headers } = await send(url, { method: 'POST', path: '/v2/a/blobs/uploads/' });
    const { pathname, search } = new URL(String(headers.location), url);
    assert.equal((await send(url, { method: 'PATCH', path: pathname + search, body: blob })).status, 202);
    await registry.stop();
    folder.remove();
    assert.match(registry.output(), /"method":"PATCH"/);
    assert.doesNotMatch(registry.output(), /"audit"/);
  });
});
