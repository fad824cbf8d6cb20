import assert from 'node:assert/strict';
import { utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { UsageError } from '../../lib/commands/command.ts';
import { readTagName, readTarget } from '../../lib/commands/undo/arguments.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { tagIndexLink } from '../../lib/registry/layout.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { freshName, pull, pushImage, remove, v1 } from '../registry/undo/images.ts';
import { rootDirectory, store, stowage } from './undo-fixture.ts';

/** A tag with two pushes, of 2026-11-25 and 2026-11-26. */
async function twoPushes() {
  const name = freshName();
  const [first, second] = [await pushImage(store, name, 'v1'), await pushImage(store, name, 'v1')];
  for (const [{ digest }, day] of [
    [first, 25],
    [second, 26],
  ] as const) {
    const time = new Date(`2026-11-${day}T10:00:00Z`);
    await utimes(join(rootDirectory(), tagIndexLink(name, v1, digest)), time, time);
  }
  return { name, tag: `${name}:v1`, first: first.digest, second: second.digest };
}

describe('the commands stowage history and rollback', () => {
  it('history prints a table, newest first', async () => {
    const { tag, name, first, second } = await twoPushes();
    await remove(store, name, first);
    assert.deepEqual(await stowage(['history', tag]), {
      code: 0,
      output: `LAST PUSHED               DIGEST${' '.repeat(65)}  TAG          MANIFEST
2026-11-26T10:00:00.000Z  ${second}  points here  present
2026-11-25T10:00:00.000Z  ${first}               gone
`,
      errors: '',
    });
  });

  it('history says who pushed, where that is known', async () => {
    const { tag, name, first } = await twoPushes();
    const image = await pushImage(store, name);
    await createRegistry(store).manifests.put(name, parseReference('v1'), image.bytes, undefined, {
      pushedBy: 'user:\u001b[31mÄnne',
    });
    const { output } = await stowage(['history', tag]);
    const [header = '', newest = '', ...others] = output.trimEnd().split('\n');
    assert.match(header, /  MANIFEST  BY$/);
    assert.match(newest, new RegExp(`^\\S+  ${image.digest}  points here  present   user: \\[31mÄnne$`));
    assert.match(others.at(-1) ?? '', new RegExp(`${first} +present   unknown$`));
    const { entries } = JSON.parse((await stowage(['history', tag, '--json'])).output) as {
      entries: { by: string | null }[];
    };
    assert.deepEqual(
      entries.map(({ by }) => by),
      ['user:\u001b[31mÄnne', null, null],
    );
  });

  it('history --json prints one object', async () => {
    const { name, tag, first, second } = await twoPushes();
    const { code, output } = await stowage(['history', tag, '--json']);
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(output), {
      version: 1,
      repository: name,
      tag: 'v1',
      entries: [
        { digest: second, at: '2026-11-26T10:00:00.000Z', by: null, isCurrent: true, exists: true },
        { digest: first, at: '2026-11-25T10:00:00.000Z', by: null, isCurrent: false, exists: true },
      ],
    });
  });

  it('rollback moves a tag to a digest, and to a time', async () => {
    const { name, tag, first, second } = await twoPushes();
    const moved = { code: 0, output: `moved ${tag} from ${second} to ${first}\n`, errors: '' };
    const dry = await stowage(['rollback', tag, '--to', '2026-11-26T09:59Z', '--dry-run']);
    assert.deepEqual(dry, { ...moved, output: `would move ${tag} from ${second} to ${first}\n` });
    assert.equal(await pull(store, name, v1), second);
    assert.deepEqual(await stowage(['rollback', tag, '--to', '2026-11-26T09:59']), moved);
    assert.equal(await pull(store, name, v1), first);
    assert.equal((await stowage(['rollback', tag, '--to', second])).code, 0);
    assert.equal(await pull(store, name, v1), second);
    const again = await stowage(['rollback', tag, '--to', '0s']);
    assert.deepEqual([again.code, again.output], [0, `${tag} points at ${second} already\n`]);
  });

  it('rollback writes an audit line where there is access control, and keeps to its immutable tags', async () => {
    const { tag, name, first, second } = await twoPushes();
    const policy = join(rootDirectory(), 'policy.yaml');
    const settings = {
      REGISTRY_AUTH: 'policy',
      REGISTRY_AUTH_POLICY_PATH: policy,
      REGISTRY_HTTP_SECRET: 'a secret of a test, which is long enough',
    };
    await writeFile(policy, 'rules: []\n');
    const { errors, output } = await stowage(['rollback', tag, '--to', first], settings);
    assert.equal(output, `moved ${tag} from ${second} to ${first}\n`);
    const { actor, time, ...line } = JSON.parse(errors) as Record<string, string>;
    assert.match(actor ?? '', /^operator:./);
    assert.ok(Date.parse(time ?? '') > 0);
    const expected = { command: 'rollback', repository: name, tag: 'v1', from: second, to: first };
    assert.deepEqual(line, { level: 'info', audit: true, ...expected, msg: 'granted' });
    await writeFile(policy, "immutable-tags:\n  - repositories: ['**']\n    tags: ['v*']\nrules: []\n");
    const refused = await stowage(['rollback', tag, '--to', second], settings);
    assert.equal(refused.code, 1);
    assert.match(
      refused.errors,
      /^rollback failed: tag v1 is immutable: immutable-tags 1 \(v\*\); change the rule/,
    );
    assert.equal(await pull(store, name, v1), first);
  });

  it('rollback refuses a read-only registry, and history does not', async () => {
    const { tag, first } = await twoPushes();
    const settings = { REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: 'true' };
    const { code, errors } = await stowage(['rollback', tag, '--to', first], settings);
    assert.equal(code, 1);
    assert.match(errors, /^rollback failed: the registry is read-only; remove REGISTRY_/);
    assert.equal((await stowage(['history', tag], settings)).code, 0);
  });

  it('history and rollback say what is missing', async () => {
    const name = freshName();
    for (const [args, message] of [
      [['history', `${name}:v1`], /^history failed: there is no tag team\/[0-9a-f]*:v1\.\n$/],
      [['rollback', `${name}:v1`, '--to', '2h'], /^rollback failed: there is no tag .*stowage restore/],
    ] as const) {
      const { code, errors } = await stowage(args);
      assert.match(errors, message);
      assert.equal(code, 1);
    }
  });

  it('history and rollback refuse wrong arguments with exit code 2', async () => {
    for (const [args, message] of [
      [['history'], /^name the tag, such as team\/app:v1\n\nUsage: stowage history/],
      [['rollback', 'team/app:v1'], /^stowage rollback needs --to\n/],
    ] as const) {
      const { code, errors } = await stowage(args);
      assert.match(errors, message);
      assert.equal(code, 2);
    }
  });
});

describe('the arguments of history and rollback', () => {
  const usage = (message: RegExp) => (error: unknown) =>
    error instanceof UsageError && message.test(error.message);

  it('a name is a repository and a tag, without a host', () => {
    assert.deepEqual(readTagName('team/app:v1'), { name: 'team/app', tag: 'v1' });
    for (const [text, message] of [
      ['team/app', /has no tag; write team\/app:TAG$/],
      ['localhost:5000/team/app:v1', /without the registry's host$/],
      ['Team/app:v1', /is not a repository and tag/],
      ['team/app:', /is not a repository and tag/],
    ] as const)
      assert.throws(() => readTagName(text), usage(message));
  });

  it('a target is a digest, a time or a duration', () => {
    const digest = `sha256:${'0'.repeat(64)}`;
    assert.deepEqual(readTarget(digest), { digest });
    for (const [text, agoMs] of [
      ['90s', 90_000],
      ['5m', 300_000],
      ['2h', 7_200_000],
      ['3d', 259_200_000],
      ['1w', 604_800_000],
    ] as const)
      assert.deepEqual(readTarget(text), { agoMs });
    for (const [text, time] of [
      ['2026-11-27', '2026-11-27T00:00:00Z'],
      ['2026-11-27T09:30', '2026-11-27T09:30:00Z'],
      ['2026-11-27T09:30:05.5Z', '2026-11-27T09:30:05.5Z'],
      ['2026-11-27T09:30+02:00', '2026-11-27T07:30:00Z'],
    ] as const)
      assert.deepEqual(readTarget(text), { at: new Date(time) });
    for (const text of ['', 'yesterday', '2026-13-01', '2026-11-27 09:30', '2 h', '-2h', '1y'])
      assert.throws(() => readTarget(text), usage(/is not a digest, a time such as .* or a duration ago/));
    assert.throws(() => readTarget('sha256:0123'), usage(/is not a whole digest; stowage history --json/));
  });
});
