import type { Action, Grant } from '../access/access.ts';
import { publicKeyText, robotTokenKeys } from '../access/tokens/keys.ts';
import { tokenService } from '../config/auth.ts';
import { loadConfigFile } from '../config/file/load.ts';
import { readArguments, UsageError, type Command } from './command.ts';

/** Creates robot tokens, and prints the public keys that functions need to verify tokens. */
export const command: Command = {
  summary: "create a robot's password, or print the public keys of tokens",
  usage: `Usage: stowage token create --name NAME --expires DURATION [--pull PATTERN] [--push PATTERN] [--delete PATTERN] [--list PATTERN]
       stowage token keys

Reads the settings of the registry (REGISTRY_AUTH=policy and its secret). It connects to no registry or bucket.

  create  print a password, which is stored nowhere; the user name is the robot's
  keys    print the public keys for REGISTRY_AUTH_POLICY_PUBLICKEYS of functions other than token

  --name NAME         robot name, such as ci-backup, by which the policy file can revoke it
  --expires DURATION  lifetime of the password, such as 90d or 12h
  --pull PATTERN      repositories that the robot may pull, such as 'team/**'; patterns can be repeated
  --push PATTERN      repositories that it may push to and pull from
  --delete PATTERN    repositories that it may delete from
  --list PATTERN      repositories that it sees in the catalog and search

Without a pattern, the rules of the policy file for robot:NAME decide. With patterns, the robot may do what they
cover, unless a rule denies it.`,
  run: async (args) => await run(args),
};

const patternOptions = {
  pull: { type: 'string', multiple: true },
  push: { type: 'string', multiple: true },
  delete: { type: 'string', multiple: true },
  list: { type: 'string', multiple: true },
} as const;

const options = { name: { type: 'string' }, expires: { type: 'string' }, ...patternOptions } as const;

type Values = ReturnType<typeof readArguments<typeof options>>['values'];

/** Most patterns of a token, which must fit into a header. */
const maxPatterns = 20;

/** Characters of a password: the credential manager of Windows keeps 2,560. */
const maxPassword = 2500;

async function run(args: readonly string[]): Promise<number> {
  const { values, word } = readArguments(args, options, ['create', 'keys']);
  if (word === undefined) throw new UsageError('say what to do: create or keys');
  if (word === 'keys') {
    const [unused] = Object.keys(values);
    if (unused !== undefined) throw new UsageError(`--${unused} is an option of stowage token create`);
    for (const secret of (await readSettings()).secrets) console.log(publicKeyText(secret));
    return 0;
  }
  const [robot, seconds] = [await readRobot(values), readSeconds(values.expires)];
  const { secrets, service } = await readSettings();
  const { signRobotToken } = await import('../access/tokens/private-tokens.ts');
  const expires = Math.floor(Date.now() / 1000) + seconds;
  const password = await signRobotToken(robotTokenKeys(secrets), service, robot, expires);
  if (password.length > maxPassword)
    throw new UsageError(
      `the password would have ${password.length} characters, and credential stores keep ${maxPassword}; use fewer or shorter patterns, or none and rules for robot:${robot.name} in the policy file`,
    );
  console.log(password);
  console.error(
    `The user name is ${robot.name}; the password expires at ${new Date(expires * 1000).toISOString()}.`,
  );
  return 0;
}

/** @throws ConfigError, and Error if the registry issues no tokens */
async function readSettings(): Promise<{ secrets: readonly string[]; service: string }> {
  const { config } = await loadConfigFile('maintenance', undefined);
  const { auth, secretIsGenerated } = config;
  if (auth.kind !== 'policy')
    throw new Error(
      'REGISTRY_AUTH is not policy, so this registry issues no tokens; run it with the settings of the registry, its secret included',
    );
  if (auth.secrets.length === 0 || (secretIsGenerated && auth.secrets === config.secrets))
    throw new Error(
      'there is no secret to sign with; set REGISTRY_AUTH_POLICY_SECRET or REGISTRY_HTTP_SECRET to the value of the registry',
    );
  return { secrets: auth.secrets, service: tokenService(auth, config.host) };
}

async function readRobot(values: Values): Promise<{ name: string; grants: Grant[] | undefined }> {
  const { name } = values;
  if (name === undefined) throw new UsageError('stowage token create needs --name');
  if (!/^[a-z0-9][a-z0-9._-]{0,63}$/.test(name))
    throw new UsageError(
      '--name: must be 1 to 64 lower-case letters, digits, dots, dashes and underscores, and begin with a letter or digit',
    );
  const patterns = Object.keys(patternOptions).flatMap((action) =>
    (values[action as Action] ?? []).map((pattern) => ({ action: action as Action, pattern })),
  );
  if (patterns.length > maxPatterns)
    throw new UsageError(`${patterns.length} patterns are too many: ${maxPatterns} are the most`);
  const { repositoryPatternFault } = await import('../access/policy/patterns.ts');
  for (const { action, pattern } of patterns) {
    const fault = repositoryPatternFault(pattern, { ofUser: false });
    if (fault !== undefined) throw new UsageError(`--${action}: ${JSON.stringify(pattern)} ${fault}`);
  }
  const grants = Object.entries(Object.groupBy(patterns, ({ action }) => action)).map(
    ([action, ofAction]): Grant => ({
      actions: action === 'push' ? ['pull', 'push'] : [action as Action],
      repositories: ofAction.map(({ pattern }) => pattern),
    }),
  );
  return { name, grants: grants.length === 0 ? undefined : grants };
}

/** Units in seconds. */
const units: Readonly<Record<string, number>> = { h: 3600, d: 24 * 3600 };

/** Five years. A password that is forgotten must end. */
const maxSeconds = 1826 * 24 * 3600;

function readSeconds(text: string | undefined): number {
  if (text === undefined)
    throw new UsageError(
      'stowage token create needs --expires, such as 90d; passwords without an end are not supported',
    );
  const [, number, unit = ''] = /^(\d{1,4})([hd])$/.exec(text) ?? [];
  const seconds = Number(number) * (units[unit] ?? Number.NaN);
  if (!(seconds > 0))
    throw new UsageError(`--expires: ${JSON.stringify(text)} is not a duration such as 90d or 12h`);
  if (seconds > maxSeconds) throw new UsageError('--expires: a password lasts five years (1826d) at most');
  return seconds;
}
