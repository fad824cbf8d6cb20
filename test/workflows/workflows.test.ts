import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { goProgramPlace } from '../servers/go-programs.ts';
import { command } from '../servers/process.ts';
import { requires } from '../servers/requires.ts';
import { readWorkflows, type Job, type Workflow } from './workflow.ts';

const root = join(import.meta.dirname, '../..');
const workflows = readWorkflows();

const jobsOf = ({ jobs }: Workflow): [string, Job][] => Object.entries(jobs);
const scriptsOf = (workflow: Workflow): string[] =>
  jobsOf(workflow).flatMap(([, { steps = [] }]) => steps.flatMap(({ run }) => run ?? []));

/** The input of an action that switches its cache on, which is the default. */
const cacheSwitches: Readonly<Record<string, string>> = {
  'actions/setup-go': 'cache',
  'actions/setup-node': 'package-manager-cache',
  'docker/setup-buildx-action': 'cache-binary',
  'docker/setup-qemu-action': 'cache-image',
};

describe('the workflows of GitHub', () => {
  it('are found', () => {
    const files = workflows.map(({ file }) => file).sort();
    assert.deepEqual(files, ['by-hand', 'checks', 'deploy', 'preview', 'release', 'staging']);
  });

  it('pass actionlint, and shellcheck where that is installed', requires('actionlint'), async () => {
    await command(goProgramPlace('actionlint').file, ['-no-color'], { cwd: root });
  });

  for (const workflow of workflows) {
    const { file, text, on, permissions } = workflow;

    it(`${file}.yml gives each job the rights that it names, and no other`, () => {
      assert.deepEqual(permissions, {});
      for (const [name, job] of jobsOf(workflow)) {
        assert.ok(job.permissions, name);
        if (job.uses === undefined) assert.ok(job['timeout-minutes'], `${name} has no timeout`);
      }
    });

    it(`${file}.yml names actions by commit, with the version beside it`, () => {
      const uses = [...text.matchAll(/^ *(?:- )?uses: (.*)$/gm)].map(([, value = '']) => value);
      for (const one of uses)
        assert.match(
          one,
          /^\.\/\.github\/workflows\/[\w-]+\.yml$|^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/,
        );
    });

    it(`${file}.yml puts no expression into a script, where it could be code`, () => {
      for (const script of scriptsOf(workflow)) assert.doesNotMatch(script, /\$\{\{/);
    });

    it(`${file}.yml runs Node 24, and pipes that fail when a part does`, () => {
      for (const [, { steps = [] }] of jobsOf(workflow))
        for (const step of steps) {
          if (step.uses?.startsWith('actions/setup-node@') === true)
            assert.equal(step.with?.['node-version'], 24);
          if (step.uses?.startsWith('actions/checkout@') === true)
            assert.equal(step.with?.['persist-credentials'], false);
        }
      if (scriptsOf(workflow).length > 0)
        assert.match(text, /^defaults:\n {2}run:\n(?: +#.*\n)* {4}shell: bash$/m);
    });

    it(`${file}.yml runs no install scripts, and takes nothing from caches that other runs fill`, () => {
      for (const script of scriptsOf(workflow)) assert.doesNotMatch(script, /\bnpm ci(?! --ignore-scripts)/);
      for (const [, { steps = [] }] of jobsOf(workflow))
        for (const { uses = '', with: inputs } of steps) {
          const [action = ''] = uses.split('@');
          const switches = cacheSwitches[action];
          if (switches !== undefined) assert.equal(inputs?.[switches], false, `${action}: ${switches}`);
          assert.notEqual(action, 'actions/cache');
        }
    });

    it(`${file}.yml gives nothing to forks`, () => {
      for (const trigger of ['pull_request_target', 'workflow_run', 'issue_comment'])
        assert.ok(!(trigger in on), trigger);
      if (!('pull_request' in on)) return;
      for (const [name, { permissions: rights = {}, secrets, environment, if: condition = '' }] of jobsOf(
        workflow,
      ))
        if ('id-token' in rights || secrets !== undefined || environment !== undefined)
          assert.ok(
            condition.includes('github.event.pull_request.head.repo.full_name == github.repository'),
            name,
          );
    });
  }
});

describe('the workflow of a release', () => {
  const release = workflows.find(({ file }) => file === 'release');
  assert.ok(release !== undefined);

  it('waits for approval in a job of its own only, so that others go on', () => {
    assert.ok(!('concurrency' in release));
  });

  it('publishes and signs in an environment, whose rules limit the tags and ask for approval', () => {
    for (const [name, { permissions: rights = {}, environment, uses }] of jobsOf(release))
      if (rights['packages'] === 'write' || rights['id-token'] === 'write')
        assert.ok(environment !== undefined || uses === './.github/workflows/deploy.yml', name);
  });

  it('begins with the job that checks the tag, on which all others wait', () => {
    const first = jobsOf(release).filter(([, { needs }]) => needs === undefined);
    assert.deepEqual(
      first.map(([name]) => name),
      ['notes'],
    );
  });
});

describe('the commands of the workflows', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };

  /** `npm run NAME -- ARGUMENTS` up to what ends a command. */
  const commands = workflows.flatMap((workflow) =>
    scriptsOf(workflow).flatMap((script) =>
      [
        ...script.replaceAll('\\\n', ' ').matchAll(/\bnpm run (?:--silent )?([\w:-]+)(?: -- ([^|;>\n]*))?/g),
      ].map(([, name = '', args = '']) => ({ file: workflow.file, name, args })),
    ),
  );

  it('are those of a person', () => {
    const names = new Set(commands.map(({ name }) => name));
    assert.deepEqual([...names].sort(), ['deploy', 'image', 'release-notes', 'remove', 'smoke']);
  });

  for (const { file, name, args } of commands)
    it(`npm run ${name} of ${file}.yml takes ${args === '' ? 'no arguments' : args.trim()}`, async () => {
      const script = scripts[name];
      assert.ok(script !== undefined, `package.json has no script ${name}`);
      const [, subcommand] = /lib\/commands\/stowage\.ts (\S+)$/.exec(script) ?? [];
      if (subcommand === undefined) return;
      const { text } = await command(process.execPath, ['lib/commands/stowage.ts', subcommand, '--help'], {
        cwd: root,
      });
      const options = args.match(/--[a-z-]+/g) ?? [];
      for (const option of options) assert.ok(text.includes(`${option} `), `${option} is not in: ${text}`);
    });

  it('of the checks are those of .ci/run', () => {
    const checks = workflows.find(({ file }) => file === 'checks');
    assert.ok(checks !== undefined);
    assert.deepEqual(scriptsOf(checks), ['.ci/run']);
  });
});
