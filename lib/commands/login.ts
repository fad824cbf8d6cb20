import { readOptions, UsageError, type Command } from './command.ts';
import { findTokenService } from './login/challenge.ts';
import { exchange, expiryOf, jobUser } from './login/exchange.ts';
import { readJobToken } from './login/job-token.ts';
import { storeLogin } from './login/stored-logins.ts';

/** Turns the OIDC token of a CI job, which lives for minutes, into a password that lives as long as the policy says. */
export const command: Command = {
  summary: 'log a CI job in by its OIDC token',
  usage: `Usage: stowage login HOST --oidc [--audience NAME] [--token-file FILE] [--print]

Exchanges the OIDC token of a CI job for a password of the registry at HOST, and stores that as docker login does. Docker,
podman, skopeo, crane, oras and helm use it until the lifetime that the registry's policy gives to the job. The token is, of
these, the first that there is:

  --token-file FILE              such as the projected token of a Kubernetes service account
  STOWAGE_ID_TOKEN               an environment variable, which id_tokens of GitLab CI sets
  ACTIONS_ID_TOKEN_REQUEST_URL   and ACTIONS_ID_TOKEN_REQUEST_TOKEN, which GitHub Actions sets for jobs with the permission
                                 id-token: write

  --oidc           by the token of a CI job; there is no other way yet
  --audience NAME  that GitHub is to make the token for (default: what the registry calls itself)
  --print          print the password on standard output, and store nothing; the user name is ${jobUser}

The password is stored in REGISTRY_AUTH_FILE, or else in config.json in DOCKER_CONFIG or ~/.docker, or with the credential
helper that this file names.`,
  run: async (args) => await run(args),
};

const options = {
  oidc: { type: 'boolean' },
  audience: { type: 'string' },
  'token-file': { type: 'string' },
  print: { type: 'boolean' },
} as const;

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = readOptions(args, options);
  const [host, more] = positionals;
  if (host === undefined) throw new UsageError('the host of the registry is missing');
  if (more !== undefined) throw new UsageError(`${JSON.stringify(more)} is one argument too many`);
  if (values.oidc !== true)
    throw new UsageError('stowage login needs --oidc; with a password, use docker login');
  const { audience, 'token-file': file } = values;
  if (audience !== undefined && file !== undefined)
    throw new UsageError('--audience is for GitHub Actions: the token in a file has an audience already');
  const service = await findTokenService(readHost(host));
  const token = await readJobToken({ file, audience: audience ?? service.name });
  const password = await exchange(service, token);
  const end = endOf(password);
  if (values.print === true) {
    console.log(password);
    console.error(`The user name is ${jobUser}; the password ${end}.`);
  } else {
    const place = await storeLogin(host, jobUser, password);
    console.log(`Logged in to ${host} as ${jobUser}. The password is in ${place} and ${end}.`);
  }
  return 0;
}

/** As it stands in the names of images. */
function readHost(host: string): string {
  if (!/^([A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:]+\])(:\d{1,5})?$/.test(host))
    throw new UsageError(
      `${JSON.stringify(host)} is not the host of a registry, such as registry.example.com or localhost:5000`,
    );
  return host;
}

function endOf(password: string): string {
  const seconds = expiryOf(password);
  return seconds === undefined
    ? 'does not say how long it is valid'
    : `is void from ${new Date(seconds * 1000).toISOString()}`;
}
