import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { UsageError } from '../../lib/commands/command.ts';
import { readImageName } from '../../lib/commands/copy/image-name.ts';
import { parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import { passwordOf } from '../access/policy-registry.ts';
import { attach } from '../copy/attached.ts';
import { freshName, pull, pushImage, tagsOf, v1 } from '../registry/undo/images.ts';
import { requires } from '../servers/requires.ts';
import { startUpstreams, type Upstreams } from '../upstream/upstreams.ts';
import { rootDirectory, store, stowage } from './undo-fixture.ts';

describe('names of images', () => {
  it('are of another registry where docker takes the first part for a host', () => {
    const host = (text: string) => readImageName(text).host;
    assert.equal(host('docker.io/library/alpine:3.20'), 'docker.io');
    assert.equal(host('localhost/app:v1'), 'localhost');
    assert.equal(host('registry:5000/app:v1'), 'registry:5000');
    assert.equal(host('docker://alpine:3.20'), 'docker.io');
    assert.equal(host('docker://registry.example.com/app:v1'), 'registry.example.com');
    assert.equal(host('team/app:v1'), undefined);
    assert.equal(host('app:v1'), undefined);
    assert.equal(host('stowage://my.team/app:v1'), undefined);
    assert.equal(readImageName('stowage://my.team/app:v1').name, 'my.team/app');
  });

  it('have a tag, a digest, or neither', () => {
    const digest = `sha256:${'0'.repeat(64)}`;
    assert.deepEqual(readImageName(`team/app@${digest}`).reference, { kind: 'digest', digest });
    assert.deepEqual(readImageName('team/app:v1').reference, { kind: 'tag', tag: 'v1' });
    assert.equal(readImageName('team/app').reference, undefined);
    for (const text of [
      '',
      'Team/app',
      'team/app:',
      'team/app@v1',
      `team/app:v1@${digest}`,
      'a.b/',
      '/a',
      `team/app:${digest}`,
    ])
      assert.throws(() => readImageName(text), UsageError, text);
  });
});

describe('the command stowage copy', () => {
  it('promotes an image within the storage, and says so', async () => {
    const [from, to] = [freshName(), freshName()];
    const { digest, bytes } = await pushImage(store, from, 'v1');
    await attach(store, from, { digest, size: bytes.length });
    const dry = await stowage(['copy', `${from}:v1`, to, '--dry-run']);
    assert.deepEqual(dry, {
      code: 0,
      output: `would copy ${from}:v1 to ${to}:v1 at ${digest}\n`,
      errors: '',
    });
    assert.deepEqual(await stowage(['copy', `${from}:v1`, to]), {
      code: 0,
      output: `copied ${from}:v1 to ${to}:v1 at ${digest}: 2 manifests, of these 1 manifest attached to it, 4 new blobs\n`,
      errors: '',
    });
    assert.equal(await pull(store, to, v1), digest);
    const again = await stowage(['copy', `${from}:v1`, `${to}:v1`]);
    assert.deepEqual([again.code, again.output], [0, `${to}:v1 is ${digest} already\n`]);
  });

  it('--json prints one object', async () => {
    const [from, to] = [freshName(), freshName()];
    const { digest } = await pushImage(store, from, 'v1');
    const { code, output } = await stowage(['copy', `${from}@${digest}`, `${to}:stable`, '--json']);
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(output), {
      version: 1,
      isDryRun: false,
      images: [
        {
          source: `${from}@${digest}`,
          target: `${to}:stable`,
          status: 'copied',
          digest,
          manifests: 1,
          referrers: 0,
          blobs: 2,
          bytes: 0,
        },
      ],
    });
  });

  it('--all-tags copies all tags, and one that fails stops no other', async () => {
    const [from, to] = [freshName(), freshName()];
    const damaged = await pushImage(store, from, 'v1');
    const { digest } = await pushImage(store, from, 'v2', 'v3');
    await store.delete([
      `docker/registry/v2/repositories/${from}/_layers/${damaged.blobs[0]?.replace(':', '/') ?? ''}/link`,
    ]);
    const { code, output, errors } = await stowage(['copy', from, to, '--all-tags']);
    assert.equal(code, 1);
    assert.match(
      errors,
      new RegExp(`^FAILED ${from}:v1 to ${to}:v1: blob sha256:.* is gone from repository`),
    );
    assert.deepEqual(await tagsOf(store, to), ['v2', 'v3']);
    assert.match(
      output,
      new RegExp(`copied ${from}:v3 to ${to}:v3 at ${digest}: 1 manifest, 0 new blobs\n$`),
    );
  });

  it('keeps to immutable tags and quotas, and writes an audit line', async () => {
    const [from, to] = [freshName(), freshName()];
    const { digest } = await pushImage(store, from, 'v1');
    const policy = join(rootDirectory(), 'policy.yaml');
    const settings = {
      REGISTRY_AUTH: 'policy',
      REGISTRY_AUTH_POLICY_PATH: policy,
      REGISTRY_HTTP_SECRET: 'a secret of a test, which is long enough',
    };
    await writeFile(policy, `quotas:\n  - { repositories: '${to}', quota: 10B }\nrules: []\n`);
    const full = await stowage(['copy', `${from}:v1`, to], settings);
    assert.deepEqual([full.code, await tagsOf(store, to).catch(() => [])], [1, []]);
    assert.match(full.errors, /the quota of .* is 10 bytes/);
    await writeFile(policy, "immutable-tags:\n  - repositories: ['**']\n    tags: ['v*']\nrules: []\n");
    const { errors } = await stowage(['copy', `${from}:v1`, to], settings);
    const { actor, time, ...line } = JSON.parse(errors) as Record<string, string>;
    assert.match(actor ?? '', /^operator:./);
    assert.ok(Date.parse(time ?? '') > 0);
    const expected = { command: 'copy', source: `${from}:v1`, repository: to, tag: 'v1', to: digest };
    assert.deepEqual(line, { level: 'info', audit: true, ...expected, msg: 'granted' });
    await pushImage(store, from, 'v1');
    const refused = await stowage(['copy', `${from}:v1`, to], settings);
    assert.equal(refused.code, 1);
    assert.match(refused.errors, /tag v1 is immutable: immutable-tags 1 \(v\*\); copy to another tag/);
    assert.equal(await pull(store, to, v1), digest);
  });

  it('writes nothing to a cache', async () => {
    const from = freshName();
    await pushImage(store, from, 'v1');
    const upstreams = [{ prefix: 'mirror/**', url: 'https://upstream.example.com' }];
    for (const [settings, ...more] of [
      [{ REGISTRY_PROXY_UPSTREAMS: JSON.stringify(upstreams) }, '--dry-run'],
      [{ REGISTRY_PROXY_REMOTEURL: 'https://upstream.example.com' }],
    ] as const) {
      const { code, output, errors } = await stowage(['copy', `${from}:v1`, 'mirror/app', ...more], settings);
      assert.deepEqual([code, output], [1, '']);
      assert.match(
        errors,
        /^FAILED team\/\S+ to mirror\/app:v1: mirror\/app is a cache of https:\/\/upstream\.example\.com, and has/m,
      );
    }
    await assert.rejects(tagsOf(store, parseRepositoryName('mirror/app')));
  });

  it('refuses what it cannot do, and says why', async () => {
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [['team/app:v1'], /name the SOURCE and the TARGET/],
      [['team/app', 'prod/app'], /SOURCE has no tag; write one, or give --all-tags/],
      [
        ['team/app:v1', 'registry.example.com/app'],
        /is in another registry: stowage copies into its own storage/,
      ],
      [['team/app:v1', 'prod/app', '--all-tags'], /must have neither tag nor digest/],
      [['team/app:v1', 'prod/app', '--username', 'me'], /--username is for another registry/],
      [['team/app:v1', 'prod/app', '--platform', 'amd64'], /is not a platform such as linux\/amd64/],
    ];
    for (const [args, message] of cases) {
      const { code, errors } = await stowage(['copy', ...args]);
      assert.equal(code, 2, errors);
      assert.match(errors, message);
    }
    const readOnly = { REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: 'true' };
    assert.equal((await stowage(['copy', 'team/app:v1', 'prod/app'], readOnly)).code, 1);
  });

  it('says where an image may be that its storage lacks', async () => {
    const unknown = await stowage(['copy', 'alpine:3.20', 'prod/app']);
    assert.equal(unknown.code, 1);
    assert.match(
      unknown.errors,
      /storage has no alpine:3\.20; on Docker Hub it is docker\.io\/library\/alpine:3\.20/,
    );
    assert.match((await stowage(['copy', 'a/b/c:v1', 'prod/app'])).errors, /manifest unknown/);
  });

  it('says of a cache that lacks a layer where the image is', async () => {
    const name = parseRepositoryName('hub/library/partial');
    const { blobs } = await pushImage(store, name, 'v1');
    await store.delete([
      `docker/registry/v2/repositories/${name}/_layers/${blobs[1]?.replace(':', '/') ?? ''}/link`,
    ]);
    const upstreams = [{ prefix: 'hub/**', url: 'https://registry-1.docker.io' }];
    const { code, errors } = await stowage(['copy', `${name}:v1`, freshName()], {
      REGISTRY_PROXY_UPSTREAMS: JSON.stringify(upstreams),
    });
    assert.equal(code, 1);
    assert.match(
      errors,
      /hub\/library\/partial is a cache of registry-1\.docker\.io, .* not sha256:\w+: copy from registry-1\.docker\.io\/library\/partial/,
    );
  });
});

describe('the command stowage copy, from another registry', requires('docker-registry'), () => {
  let upstreams: Upstreams;
  let from: RepositoryName;
  const auths: Record<string, { auth: string }> = {};
  let env: Record<string, string>;

  before(async () => {
    upstreams = await startUpstreams();
    from = freshName();
    await pushImage(upstreams.store, from, 'v1');
    for (const { url } of [upstreams.withTokens, upstreams.withBasic])
      auths[url.host] = { auth: Buffer.from(`alice:${passwordOf('alice')}`).toString('base64') };
    const file = join(rootDirectory(), 'auth.json');
    await writeFile(file, JSON.stringify({ auths }));
    env = { REGISTRY_AUTH_FILE: file };
  });
  after(async () => {
    await upstreams.stop();
  });

  it('uses the stored login', async () => {
    for (const { url } of [upstreams.withTokens, upstreams.withBasic]) {
      const to = freshName();
      const flags = ['--plain-http', '--private-addresses'];
      const { code, output, errors } = await stowage(['copy', `${url.host}/${from}:v1`, to, ...flags], env);
      assert.deepEqual([code, errors], [0, '']);
      assert.match(output, /^copied .*: 1 manifest, 2 new blobs, 70 bytes transferred\n$/);
      assert.equal(await pull(store, to, v1), await pull(upstreams.store, from, v1));
    }
  });

  it('asks no private address, and uses no http, unless it is told to', async () => {
    const { host } = upstreams.withTokens.url;
    upstreams.withTokens.reset();
    const args = ['copy', `${host}/${from}:v1`, freshName()];
    const refused = await stowage([...args, '--plain-http'], env);
    assert.equal(refused.code, 1);
    assert.match(
      refused.errors,
      /127\.0\.0\.1, which is not a public address: give --private-addresses if that/,
    );
    assert.equal((await stowage([...args, '--private-addresses'], env)).code, 1);
    assert.deepEqual(upstreams.withTokens.requests, []);
  });

  it('says what the other registry answers', async () => {
    const { host } = upstreams.withTokens.url;
    const flags = ['--plain-http', '--private-addresses'];
    const { code, errors } = await stowage(['copy', `${host}/${from}:v9`, freshName(), ...flags], env);
    assert.equal(code, 1);
    assert.match(errors, /^FAILED .*: 127\.0\.0\.1:\d+ answered 404 when asked for manifest v9 of team/);
  });
});
