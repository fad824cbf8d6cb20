import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { runJob } from './run-job.ts';

/** The jobs run with an npm that notes its arguments, fails for one script if told to, and prints an address. */
const npm = `#!/bin/sh
printf '%s|' "$@" >> "$NOTES"; echo >> "$NOTES"
case "$2" in
  $FAILING) exit 3;;
  deploy) echo 'The registry is at https://registry.example.com';;
esac
`;

/** A git that fails when it is told to, as where a commit is on no branch. */
const git = `#!/bin/sh
printf 'git|' >> "$NOTES"; printf '%s|' "$@" >> "$NOTES"; echo >> "$NOTES"
[ "$1" != "$FAILING" ]
`;

describe('the jobs of the workflows', () => {
  let folder: Folder;

  before(async () => {
    folder = await temporaryFolder('workflow');
    for (const [name, text] of Object.entries({ npm, git })) {
      writeFileSync(join(folder.path, name), text);
      chmodSync(join(folder.path, name), 0o755);
    }
  });

  after(() => {
    folder.remove();
  });

  const run = async (file: string, job: string, context: Readonly<Record<string, string>>, failing = '-') => {
    const notes = join(folder.path, 'notes');
    writeFileSync(notes, '');
    const results = await runJob(file, job, {
      context: {
        'github.event.number': '7',
        'secrets.REGISTRY_AUTH_HTPASSWD_CONTENT': 'admin:x',
        'vars.AWS_BOUNDARY': 'arn:aws:iam::1:policy/b',
        ...context,
      },
      env: {
        PATH: `${folder.path}:${process.env['PATH']}`,
        NOTES: notes,
        FAILING: failing,
        GITHUB_REF_NAME: 'v1.2.3',
      },
      without: ['Delete the images'],
    });
    const commands = readFileSync(notes, 'utf8').trim().split('\n');
    return { results, commands };
  };

  it('a preview is deployed and tried, and its address is an output', async () => {
    const { results, commands } = await run('preview', 'deploy', {});
    assert.deepEqual(commands, [
      'ci|--ignore-scripts|',
      'run|deploy|--|--stage|pr-7|--param|permissionsBoundary=arn:aws:iam::1:policy/b|--yes|',
      'run|smoke|--|https://registry.example.com|--user|admin|--no-large|',
    ]);
    const deployed = results.find(({ name }) => name === 'Deploy');
    assert.deepEqual(deployed?.outputs, { url: 'https://registry.example.com' });
  });

  it('production gets the image of the release where it has a data plane', async () => {
    const image = { 'needs.image.outputs.image': 'ghcr.io/team/stowage@sha256:1' };
    const { commands } = await run('release', 'production', { ...image, 'vars.DATA_PLANE': 'true' });
    assert.deepEqual(commands.slice(1), [
      'run|deploy|--|--stage|production|--param|permissionsBoundary=arn:aws:iam::1:policy/b|--param|image=ghcr.io/team/stowage@sha256:1|',
      'run|smoke|--|https://registry.example.com|--user|admin|',
    ]);
    const without = await run('release', 'production', image);
    assert.equal(
      without.commands[1],
      'run|deploy|--|--stage|production|--param|permissionsBoundary=arn:aws:iam::1:policy/b|',
    );
  });

  it('a stage is replaced in part only by a run that is confirmed', async () => {
    const given = { 'inputs.stage': 'production', 'inputs.confirmed': 'false' };
    const deployment =
      'run|deploy|--|--stage|production|--param|permissionsBoundary=arn:aws:iam::1:policy/b|';
    assert.equal((await run('by-hand', 'deploy', given)).commands[1], deployment);
    const confirmed = await run('by-hand', 'deploy', { ...given, 'inputs.confirmed': 'true' });
    assert.equal(confirmed.commands[1], `${deployment}--yes|`);
  });

  it('a deployment that fails fails the job, although its output is also kept', async () => {
    const { results, commands } = await run('staging', 'deploy', {}, 'deploy');
    assert.equal(results.at(-1)?.code, 3);
    assert.deepEqual(commands, [
      'ci|--ignore-scripts|',
      'run|deploy|--|--stage|staging|--param|permissionsBoundary=arn:aws:iam::1:policy/b|',
    ]);
    const tried = await run('staging', 'deploy', {}, 'smoke');
    assert.equal(tried.results.at(-1)?.code, 3);
  });

  it('nothing is deployed without users: a first deployment would print a password', async () => {
    const { results, commands } = await run('preview', 'deploy', {
      'secrets.REGISTRY_AUTH_HTPASSWD_CONTENT': '',
    });
    assert.deepEqual(commands, ['ci|--ignore-scripts|']);
    assert.match(results.at(-1)?.output ?? '', /^::error::The secret REGISTRY_AUTH_HTPASSWD_CONTENT/);
  });

  it('a tag whose commit is not on main is no release', async () => {
    const check = 'git|merge-base|--is-ancestor|HEAD|origin/main|';
    const { commands } = await run('release', 'notes', {});
    assert.deepEqual(commands, [check, 'run|--silent|release-notes|--|v1.2.3|']);
    const refused = await run('release', 'notes', {}, 'merge-base');
    assert.deepEqual(refused.commands, [check]);
    assert.match(refused.results.at(-1)?.output ?? '', /^::error::The commit of v1\.2\.3 is not on main/);
  });

  it('a closed pull request removes its preview', async () => {
    const { commands } = await run('preview', 'remove', {});
    assert.deepEqual(commands, ['ci|--ignore-scripts|', 'run|remove|--|--stage|pr-7|--yes|']);
  });
});
