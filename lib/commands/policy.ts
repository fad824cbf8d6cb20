import { readFile } from 'node:fs/promises';
import { actions, nameOf, type Action, type Identity } from '../access/access.ts';
import { explain, type Explanation, type Question, type Step } from '../access/policy/explain.ts';
import { Policy } from '../access/policy/policy.ts';
import { PolicyError } from '../access/policy/policy-error.ts';
import type { StorageRules } from '../access/policy/storage-rules.ts';
import { questionOf, runTests, type TestResult } from '../access/policy/run-tests.ts';
import { didYouMean } from '../config/did-you-mean.ts';
import { isRepositoryName } from '../protocol/names.ts';
import { isTag } from '../protocol/tags.ts';
import { count, readOptions, UsageError, type Command } from './command.ts';

/** Checks, explains and tests a local policy file. It needs no settings, registry or bucket. */
export const command: Command = {
  summary: 'check a policy file, explain what it decides, run its tests',
  usage: `Usage: stowage policy check FILE
       stowage policy explain FILE --as WHO --repository NAME --action ACTION [--tag TAG]
       stowage policy test FILE

Works with a local policy file. It reads no settings, and connects to no registry.

  check    print all faults of the file, each with its line
  explain  print whether a request is allowed, and for each rule why it matched or not
  test     compare the policy with the tests in its file

  --as WHO           alice, robot:NAME, ci:NAME or anonymous
  --repository NAME  such as team/app
  --action ACTION    ${actions.join(', ')}
  --tag TAG          tag to push or delete, for immutable tags

The exit code is 0 if the file is valid, the request is allowed or all tests pass, otherwise 1; it is 2 for wrong arguments.`,
  run: async (args) => await run(args),
};

const options = {
  as: { type: 'string' },
  repository: { type: 'string' },
  action: { type: 'string' },
  tag: { type: 'string' },
} as const;

type Values = Readonly<Partial<Record<keyof typeof options, string>>>;

const subcommands = ['check', 'explain', 'test'] as const;

/** @returns the exit code */
async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = readOptions(args, options);
  const { subcommand, file } = readPositionals(positionals);
  const question = subcommand === 'explain' ? readQuestion(values) : undefined;
  const unused = Object.keys(values)[0];
  if (question === undefined && unused !== undefined)
    throw new UsageError(`--${unused} is an option of stowage policy explain`);
  const policy = await readPolicy(file, subcommand);
  if (policy === undefined) return 1;
  if (!(policy instanceof Policy)) return printStorageSummary(file, policy);
  if (question !== undefined) return printExplanation(explain(policy, question), question);
  return subcommand === 'test' ? printTests(file, runTests(policy)) : printSummary(file, policy);
}

function readPositionals([first, file, more]: readonly string[]) {
  const subcommand = subcommands.find((name) => name === first);
  if (subcommand === undefined) {
    const hint = first === undefined ? undefined : didYouMean(first, subcommands);
    const given = first === undefined ? 'say what to do' : `${JSON.stringify(first)} is not a known argument`;
    throw new UsageError(`${given}; ${hint ?? 'it is check, explain or test'}`);
  }
  if (file === undefined)
    throw new UsageError(`stowage policy ${subcommand} needs the name of a policy file`);
  if (more !== undefined) throw new UsageError(`${JSON.stringify(more)} is one argument too many`);
  return { subcommand, file };
}

/** @throws UsageError */
function readQuestion({ as, repository, action, tag }: Values): Question {
  if (as === undefined || repository === undefined || action === undefined)
    throw new UsageError('stowage policy explain needs --as, --repository and --action');
  if (!isRepositoryName(repository))
    throw new UsageError(`--repository: ${JSON.stringify(repository)} is not a repository name`);
  if (tag !== undefined && !isTag(tag)) throw new UsageError(`--tag: ${JSON.stringify(tag)} is not a tag`);
  return { identity: readIdentity(as), repository, action: readAction(action), tag };
}

function readAction(text: string): Action {
  const action = actions.find((action) => action === text);
  if (action !== undefined) return action;
  const hint = didYouMean(text, actions) ?? `it is ${actions.join(', ')}`;
  throw new UsageError(`--action: ${JSON.stringify(text)} is not a known action; ${hint}`);
}

/** Any name without a colon is a user, even one that is invalid in a policy. */
function readIdentity(text: string): Identity {
  if (text === 'anonymous') return { kind: 'anonymous' };
  const [, prefix, name = ''] = /^([^:]*):(.*)$/s.exec(text) ?? [];
  if (prefix === undefined && text !== '') return { kind: 'user', name: text };
  if (prefix === 'robot' && name !== '') return { kind: 'robot', name, issuedAt: Date.now() / 1000 };
  if (prefix === 'ci' && name !== '') return { kind: 'ci', name };
  const hint =
    prefix === 'group' ? 'name one of its members' : 'it is alice, robot:NAME, ci:NAME or anonymous';
  throw new UsageError(`--as: ${JSON.stringify(text)} is not a valid caller; ${hint}`);
}

/**
 * Undefined if the file is invalid or cannot be read. Prints faults as `FILE:LINE: MESSAGE`, for editors and CI. A file that says
 * nothing about access can only be checked.
 */
async function readPolicy(
  file: string,
  subcommand: (typeof subcommands)[number],
): Promise<Policy | StorageRules | undefined> {
  const { isAboutStorage, parsePolicy, parseStorageRules } = await import('../access/policy/parse.ts');
  try {
    const text = await readFile(file, 'utf8');
    return subcommand === 'check' && isAboutStorage(text) ? parseStorageRules(text) : parsePolicy(text);
  } catch (error) {
    if (error instanceof PolicyError)
      for (const { line, message } of error.faults) console.error(`${file}:${line}: ${message}`);
    else console.error(`${file} ${unreadable(error)}`);
    return undefined;
  }
}

function unreadable(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'does not exist';
  return code === 'EISDIR' ? 'is a folder; name the file in it' : `cannot be read: ${message}`;
}

function printStorageSummary(file: string, { retention, quotas }: StorageRules): number {
  const parts = [count(retention.length, 'rule'), count(quotas.length, 'quota')];
  console.log(`${file} is valid, and says nothing about access: ${parts.join(' for retention, ')}`);
  return 0;
}

function printSummary(file: string, { content }: Policy): number {
  const { rules, groups, ci, tests, retention, quotas } = content;
  const parts = [
    count(rules.length, 'rule'),
    count(groups.size, 'group'),
    count(ci.length, 'CI identity', 'CI identities'),
    count(tests.length, 'test'),
    ...(retention.length > 0 ? [count(retention.length, 'rule') + ' for retention'] : []),
    ...(quotas.length > 0 ? [count(quotas.length, 'quota')] : []),
  ];
  console.log(`${file} is valid: ${parts.join(', ')}`);
  return 0;
}

function printExplanation({ allowed, rule, steps, rulesLeft }: Explanation, question: Question): number {
  const { identity } = question;
  console.log(`${nameOf(identity)} may ${allowed ? '' : 'not '}${describe(question)}: ${rule}\n`);
  const width = Math.max(...steps.map((step) => titleOf(step).length));
  for (const step of steps)
    console.log(`  ${titleOf(step).padEnd(width)}  ${step.outcome.padEnd(5)}  ${step.reason}`);
  if (rulesLeft > 0) console.log(`  ${count(rulesLeft, 'more rule')} not evaluated`);
  if (identity.kind === 'robot')
    console.log(
      '\nThis is for a token without grants. A token with grants may do what they cover, unless a rule denies it.',
    );
  return allowed ? 0 : 1;
}

function titleOf({ name, line }: Step): string {
  return line === undefined ? name : `${name}, line ${line}`;
}

/** `push team/app:v1` */
function describe({ action, repository, tag }: Question): string {
  return `${action} ${repository}${tag === undefined ? '' : `:${tag}`}`;
}

function printTests(file: string, results: readonly TestResult[]): number {
  if (results.length === 0) {
    console.error(`${file} has no tests`);
    return 1;
  }
  const failed = results.filter(({ passed }) => !passed);
  for (const { test, decision } of failed) {
    const question = questionOf(test);
    const exists = test.exists ? ' (which exists)' : '';
    console.error(
      `${file}:${test.line}: ${nameOf(question.identity)} may ${decision.allowed ? '' : 'not '}${describe(question)}${exists}` +
        `: ${decision.rule}; expected ${test.expect}`,
    );
  }
  const passed = results.length - failed.length;
  console.log(`${count(passed, 'test')} passed, ${failed.length} failed`);
  return failed.length === 0 ? 0 : 1;
}
