import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { robotTokenKeys } from '../../lib/access/tokens/keys.ts';
import { signRobotToken } from '../../lib/access/tokens/private-tokens.ts';
import { root } from '../../lib/commands/checkout.ts';
import { tokenService } from '../../lib/config/auth.ts';
import type { Parameters } from '../stack/parameters.ts';
import { endOf } from './interruption.ts';
import type { Run } from './run.ts';
import { isEmulated } from './account.ts';
import type { Plan } from './plan.ts';
import { roundsOf, tokenSecrets } from './secrets.ts';

/** Where the smoke test pushes. */
const repository = 'stowage/smoke';

/** Seconds in which the smoke test is over. */
const lifetimeS = 15 * 60;

/** Milliseconds for the first answer: an instance installs itself, and gets its certificate. */
const startTimeoutMs = 5 * 60_000;

/** Waits for the registry, and runs `stowage smoke`. @throws Error with what failed */
export async function tryRegistry(
  plan: Plan,
  url: string,
  { say, interrupted }: Pick<Run, 'say' | 'interrupted'>,
): Promise<void> {
  const address = isEmulated() ? process.env['STOWAGE_SMOKE_URL'] : url;
  if (address === undefined) {
    say('The smoke test is left out: the gateway of an emulator has no host of its own.');
    return;
  }
  say('Trying the registry …');
  await waitForAnswer(address, interrupted);
  const login = await loginOf(plan);
  const isSmall = plan.target.parameters.dataPlane === 'none';
  const args = [
    ...['smoke', address, '--repository', repository],
    ...(login === undefined ? [] : ['--user', login.name]),
    ...(isSmall ? ['--no-large'] : []),
  ];
  const child = spawn(process.execPath, ['lib/commands/stowage.ts', ...args], {
    cwd: root,
    env: { ...process.env, ...(login && { STOWAGE_PASSWORD: login.password }) },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const code = await endOf(child, interrupted);
  const options = [...(login === undefined ? [] : ['--user NAME']), ...(isSmall ? ['--no-large'] : [])];
  const again = ['npm run smoke --', address, ...options].join(' ');
  if (code !== 0) throw new Error(`what failed is above; "${again}" runs it again`);
}

/** @throws Error with the remedy */
async function waitForAnswer(url: string, interrupted: AbortSignal): Promise<void> {
  const deadline = Date.now() + startTimeoutMs;
  for (;;) {
    const reason = await fetch(`${url}/livez`, {
      signal: AbortSignal.any([interrupted, AbortSignal.timeout(15_000)]),
    }).then(
      async (response) => {
        await response.body?.cancel();
        return response.ok ? undefined : `it answers ${response.status}`;
      },
      (error: unknown) => describe(error as Error),
    );
    if (reason === undefined) return;
    interrupted.throwIfAborted();
    if (Date.now() > deadline) throw new Error(`${url} cannot be used: ${reason}`);
    await delay(5_000, undefined, { signal: interrupted });
  }
}

function describe({ message, cause }: Error): string {
  const { code = '', message: reason = message } = (cause ?? {}) as { code?: string; message?: string };
  if (code === 'ENOTFOUND')
    return 'its name is not known; make the DNS record that docs/deploy/aws.md describes, or let the stack do so with hostedZone';
  return `${reason}; DNS may still know an older address, or a certificate is not there yet`;
}

interface LoginInput {
  readonly secrets: Plan['secrets'];
  readonly target: { readonly parameters: Parameters };
}

interface Login {
  readonly name: string;
  readonly password: string;
}

/**
 * With a policy, a robot that may use the repository of the smoke test for some minutes; with a password file, the user that
 * this deployment has made, if any.
 */
export async function loginOf({ secrets, target }: LoginInput): Promise<Login | undefined> {
  const { auth, host, settings } = target.parameters;
  if (auth !== 'policy') return secrets.user;
  const keys = robotTokenKeys(tokenSecrets(secrets, roundsOf(secrets) - 1));
  const { REGISTRY_HTTP_HOST: url = host && `https://${host}`, REGISTRY_AUTH_POLICY_SERVICE } = settings;
  const service = tokenService({ service: REGISTRY_AUTH_POLICY_SERVICE }, url);
  const grants = [{ actions: ['pull', 'push', 'delete', 'list'] as const, repositories: [repository] }];
  const robot = { name: 'smoke', grants };
  const expires = Math.floor(Date.now() / 1000) + lifetimeS;
  return { name: robot.name, password: await signRobotToken(keys, service, robot, expires) };
}
