import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { freshName, pull, pushImage, tagsOf, v1 } from '../registry/undo/images.ts';
import { ageFiles } from '../retention/aged.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { rootDirectory, store, stowage } from './undo-fixture.ts';

describe('the command stowage retention', () => {
  let folder: Folder;

  before(async () => {
    folder = await temporaryFolder('rules');
  });

  after(() => {
    folder.remove();
  });

  /** The settings with rules in a file of their own. */
  const settings = (...rules: readonly string[]) => {
    const path = join(folder.path, 'rules.yaml');
    writeFileSync(path, ['retention:', ...rules.map((rule) => `  - ${rule}`)].join('\n'));
    return { REGISTRY_RETENTION_PATH: path };
  };

  /** The settings with rules in a policy. */
  const policy = (rule: string, more: string) => {
    const path = join(folder.path, 'policy.yaml');
    writeFileSync(path, `rules: []\nretention:\n  - ${rule}\n${more}`);
    return {
      REGISTRY_AUTH: 'policy',
      REGISTRY_AUTH_POLICY_PATH: path,
      REGISTRY_HTTP_SECRET: 'a'.repeat(32),
    };
  };

  const linesAbout = (output: string, name: string) =>
    output.split('\n').filter((line) => line.includes(`${name}:`));

  it('plans each tag with its rule, and then removes what was planned, which restore brings back', async () => {
    const name = freshName();
    const { digest } = await pushImage(store, name, 'v1');
    await pushImage(store, name, 'v2');
    await pushImage(store, name, 'latest');
    const rules = settings(
      '{ repositories: nothing }',
      `{ repositories: ${name}, tags: ["*", "!latest"], keep: { newest: 1 }, otherwise: delete, untaggedAfter: 7d }`,
    );
    const early = await stowage(['retention', 'apply'], rules);
    assert.equal(early.code, 1);
    assert.match(early.errors, /^retention 2, line 3 was not planned as it is now/);
    const plan = await stowage(['retention', 'plan'], rules);
    assert.equal(plan.code, 0, plan.errors);
    assert.deepEqual(linesAbout(plan.output, name), [
      `keep    ${name}:latest: retention 2, line 3: the rule is not about this tag`,
      `remove  ${name}:v1: retention 2, line 3: nothing keeps it (otherwise: delete)`,
      `keep    ${name}:v2: retention 2, line 3: one of the 1 newest`,
    ]);
    assert.match(
      plan.output,
      /retention 2, line 3: garbage collection removes manifests without a tag after 7d\n/,
    );
    assert.match(plan.output, /would remove 1 tag and keep 2\n$/);
    assert.deepEqual(await tagsOf(store, name), ['latest', 'v1', 'v2']);
    const applied = await stowage(['retention', 'apply'], rules);
    assert.deepEqual(applied, {
      code: 0,
      output: `removed ${name}:v1: retention 2, line 3: nothing keeps it (otherwise: delete)\nremoved 1 tag\n`,
      errors: '',
    });
    assert.equal((await stowage(['restore', `${name}:v1`])).code, 0);
    assert.equal(await pull(store, name, v1), digest);
  });

  it('refuses a rule that was changed after its plan', async () => {
    const name = freshName();
    await pushImage(store, name, 'v1');
    await pushImage(store, name, 'v2');
    const rule = `{ repositories: ${name}, keep: { newest: 2 }, otherwise: delete }`;
    assert.equal((await stowage(['retention', 'plan'], settings(rule))).code, 0);
    const changed = await stowage(['retention', 'apply'], settings(rule.replace('2', '1')));
    assert.equal(changed.code, 1);
    assert.match(changed.errors, /^retention 1, line 2 was not planned/);
    assert.equal(changed.output, 'removed nothing\n');
    assert.deepEqual(await tagsOf(store, name), ['v1', 'v2']);
  });

  it('follows the rules and the immutable tags of a policy, and writes audit lines', async () => {
    const name = freshName();
    for (const tag of ['v1', 'old', 'new']) await pushImage(store, name, tag);
    const rules = policy(
      `{ repositories: ${name}, keep: { newest: 1 }, otherwise: delete }`,
      `immutable-tags: [{ repositories: ${name}, tags: v* }]`,
    );
    const plan = await stowage(['retention', 'plan', '--json'], rules);
    assert.equal(plan.code, 0, plan.errors);
    const { tags } = JSON.parse(plan.output) as {
      tags: {
        repository: string;
        tag: string | null;
        removes: boolean;
        reason: string;
        rule: string | null;
      }[];
    };
    assert.deepEqual(
      tags
        .filter(({ repository }) => repository === name)
        .map(({ tag, removes, reason }) => [tag, removes, reason]),
      [
        ['new', false, 'one of the 1 newest'],
        ['old', true, 'nothing keeps it (otherwise: delete)'],
        ['v1', false, 'immutable: immutable-tags 1 (v*)'],
      ],
    );
    assert.ok(
      tags
        .filter(({ repository }) => repository !== name)
        .every(({ rule, removes }) => rule === null && !removes),
    );
    const applied = await stowage(['retention', 'apply'], rules);
    assert.equal(applied.code, 0, applied.errors);
    const line = JSON.parse(applied.errors) as Record<string, unknown>;
    assert.match(String(line['actor']), /^operator:/);
    assert.deepEqual(
      [line['command'], line['repository'], line['tag'], line['rule']],
      ['retention apply', name, 'old', 'retention 1, line 3'],
    );
    assert.deepEqual(await tagsOf(store, name), ['new', 'v1']);
  });

  it('gives up manifests without a tag to garbage collection, once it was planned', async () => {
    const name = freshName();
    await pushImage(store, name);
    const kept = freshName();
    await pushImage(store, kept);
    await ageFiles(rootDirectory(), 2 * 24 * 3_600_000);
    const rules = settings(`{ repositories: ${name}, untaggedAfter: 1d }`);
    const garbageOf = async () => {
      const { output, errors } = await stowage(['gc', '--dry-run', '--json'], rules);
      const { repositories } = JSON.parse(output) as { repositories: { name: string; manifests: number }[] };
      const counts = [name, kept].map((one) => repositories.find((row) => row.name === one)?.manifests ?? 0);
      return { counts, errors };
    };
    const before = await garbageOf();
    assert.deepEqual(before.counts, [0, 0]);
    assert.match(
      before.errors,
      /retention 1, line 2 was not planned as it is now, so its untaggedAfter takes nothing/,
    );
    assert.equal((await stowage(['retention', 'plan'], rules)).code, 0);
    const after = await garbageOf();
    assert.deepEqual(after.counts, [1, 0]);
    assert.doesNotMatch(after.errors, /was not planned/);
  });

  it('records no plan and removes nothing in a read-only registry', async () => {
    const name = freshName();
    await pushImage(store, name, 'v1');
    await pushImage(store, name, 'v2');
    const rules = settings(`{ repositories: ${name}, keep: { newest: 1 }, otherwise: delete }`);
    const readOnly = { ...rules, REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: 'true' };
    const plan = await stowage(['retention', 'plan'], readOnly);
    assert.equal(plan.code, 0);
    assert.match(
      plan.errors,
      /^The storage is read-only, so it does not keep that these rules were planned\.\n$/,
    );
    const applied = await stowage(['retention', 'apply'], readOnly);
    assert.match(applied.errors, /^retention failed: the registry is read-only/);
    assert.match((await stowage(['retention', 'apply'], rules)).errors, /was not planned/);
  });

  it('says what is missing or wrong', async () => {
    const none = await stowage(['retention', 'plan']);
    assert.match(
      none.errors,
      /^retention failed: there are no rules for retention; write them into the policy/,
    );
    const wrong = await stowage(['retention', 'plan'], settings('{ repositories: a, otherwise: remove }'));
    assert.match(wrong.errors, /is invalid; [^]*line 2: otherwise of retention 1 cannot be "remove"/);
    assert.equal(wrong.code, 1);
    for (const [args, message] of [
      [[], /^say what to do; it is plan or apply/],
      [['aply'], /^"aply" is not a known argument; did you mean apply\?/],
      [['plan', 'a.yml', 'b'], /^"b" is one argument too many/],
      [['apply', '--json'], /^--json is an option of stowage retention plan/],
    ] as const) {
      const { code, errors } = await stowage(['retention', ...args]);
      assert.match(errors, message);
      assert.equal(code, 2);
    }
  });
});
