import { randomBytes } from 'node:crypto';
import { isRepositoryName } from '../protocol/names.ts';
import { readOptions, UsageError, type Command } from './command.ts';
import { isLoopbackUrl } from './login/request.ts';
import type { Context } from './smoke/check.ts';
import { readCredentials } from './smoke/credentials.ts';
import { gatewayChecks, httpsCheck } from './smoke/gateway-checks.ts';
import { imageChecks } from './smoke/image-checks.ts';
import { removeImages, stayingBlobs } from './smoke/remove.ts';
import { jsonOf, summaryOf, textOf, type Report } from './smoke/report.ts';
import { runChecks, type Result } from './smoke/run.ts';
import { Session } from './smoke/session.ts';
import { onStopSignal } from './stop-at-signals.ts';

const defaultRepository = 'stowage/smoke';

/** Checks a registry from outside, through all that stands before it. */
export const command: Command = {
  summary: 'check a registry from outside: push and pull as clients do',
  usage: `Usage: stowage smoke URL [--user NAME] [--repository NAME] [--no-large] [--json]

Pushes and pulls small and large images through all that stands before the registry at URL, as docker, containerd and oras do,
and checks what gateways and proxies break. Each failure says what was asked, what came, and what to change.

  --user NAME        log in; the password is in STOWAGE_PASSWORD, or on standard input. Without, the login that docker has
                     stored for the host is used
  --repository NAME  where to push (default ${defaultRepository}); the user needs the right to push there, and to delete
  --no-large         there is no data plane: a layer above 4 MiB is expected to be refused
  --json             print one object for programs

What it pushed is removed in the end, but for layers, which are the same in each run. Exits with 0 if no check fails, with 1 if
one does or a signal stops it, and with 2 for wrong arguments.`,
  run: async (args) => await run(args),
};

const options = {
  user: { type: 'string' },
  repository: { type: 'string' },
  'no-large': { type: 'boolean' },
  json: { type: 'boolean' },
} as const;

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = readOptions(args, options);
  const [given, more] = positionals;
  if (given === undefined) throw new UsageError('the URL of the registry is missing');
  if (more !== undefined) throw new UsageError(`${JSON.stringify(more)} is one argument too many`);
  const base = readUrl(given);
  const repository = readRepository(values.repository ?? defaultRepository);
  const isLarge = values['no-large'] !== true;
  const context: Context = {
    session: new Session(base, await readCredentials(readUser(values.user), base.host)),
    repository,
    run: randomBytes(4).toString('hex'),
    pointers: new Map(),
    pushed: new Map(),
  };
  const report = await check(context, isLarge, values.json === true);
  console.log(values.json === true ? jsonOf(report) : summaryOf(report));
  return report.passed ? 0 : 1;
}

async function check(context: Context, isLarge: boolean, isQuiet: boolean): Promise<Report> {
  const { repository, session } = context;
  if (!isQuiet) console.log(`Checking ${session.base.origin}, in the repository ${repository}\n`);
  const all = [...gatewayChecks, ...imageChecks(isLarge), httpsCheck];
  const onResult = (result: Result) => {
    if (!isQuiet) console.log(textOf(result));
  };
  onStopSignal(() => {
    console.error('Stopping: what was pushed is removed, in 10 s at most.');
    session.stop();
  });
  const checks = await runChecks(all, context, onResult).catch(async (error: unknown) => {
    await removeImages(context);
    throw error;
  });
  const left = [...(await removeImages(context)), ...stayingBlobs(context, checks)];
  const passed = !session.isStopped && checks.every(({ status }) => status !== 'failed');
  return { version: 1, url: session.base.origin, repository, passed, checks, left };
}

/** https, or http on this machine: a password goes nowhere else. */
function readUrl(text: string): URL {
  const url = URL.parse(text.includes('://') ? text : `https://${text}`);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new UsageError(
      `${JSON.stringify(text)} is not the URL of a registry, such as https://registry.example.com`,
    );
  if (url.username !== '' || url.password !== '')
    throw new UsageError(
      'a URL with a password shows in lists of processes; use --user and STOWAGE_PASSWORD',
    );
  if (url.protocol === 'http:' && !isLoopbackUrl(url))
    throw new UsageError('clients talk http to this machine only; give the https URL of the registry');
  if (!/^\/(v2\/?)?$/.test(url.pathname) || url.search !== '' || url.hash !== '')
    throw new UsageError(
      `clients know no path before /v2/; give the URL without ${url.pathname}${url.search}${url.hash}`,
    );
  return new URL(url.origin);
}

function readRepository(name: string): string {
  if (!isRepositoryName(name))
    throw new UsageError(
      `--repository: ${JSON.stringify(name)} is not the name of a repository, such as ${defaultRepository}`,
    );
  return name;
}

function readUser(user: string | undefined): string | undefined {
  if (user !== undefined && (user === '' || user.includes(':')))
    throw new UsageError(`--user: ${JSON.stringify(user)} is not the name of a user`);
  return user;
}
