import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { accessTokenSeconds } from '../../lib/access/tokens/access-tokens.ts';
import { keepSecrets } from '../logs/kept.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { cleanEnvironment, command } from '../servers/process.ts';
import { programFile } from '../servers/programs.ts';
import { startProxy } from '../servers/proxy.ts';
import type { Registry } from '../servers/registry.ts';
import { functionsAndDataPlane, serve, start, type Launch } from '../servers/stowage.ts';
import { htpasswdOf, passwordOf, policySettings } from './policy-registry.ts';

/** Of alice, who may push but to `frozen`, and of everybody else. What has a version of 1.0.0 or more is immutable. */
const policy = `
immutable-tags:
  - { repositories: team/**, tags: ['1.*'] }
rules:
  - { name: public, who: '*', repositories: public/**, allow: [pull, list] }
  - { name: frozen, who: '*', repositories: frozen/**, deny: push }
  - { name: developers, who: alice, repositories: [public/**, team/**, frozen/**], allow: [pull, push, list] }
`;

/** What the policy says to those who push to `frozen`. */
export const frozenRule = 'rule 2 (frozen)';

/** A registry with the user alice, and what its commands need to know. */
export interface ProtectedRegistry {
  /** Host and port. */
  readonly address: string;
  /** What `stowage token create` is given, beside its options. */
  readonly settings: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** `REGISTRY_AUTH=htpasswd`: alice may do all, and nobody else anything. */
export async function htpasswdRegistry(launch: Launch = serve): Promise<ProtectedRegistry> {
  const folder = await temporaryFolder('htpasswd-registry');
  const path = join(folder.path, 'users');
  await writeFile(path, await htpasswdOf(['alice']));
  const settings = { REGISTRY_AUTH: 'htpasswd', REGISTRY_AUTH_HTPASSWD_PATH: path };
  keepSecrets({ PASSWORDS: passwordOf('alice') });
  const registry = await launch(join(folder.path, 'registry'), settings);
  return {
    address: registry.address,
    settings,
    stop: async () => {
      await registry.stop();
      folder.remove();
    },
  };
}

/** `REGISTRY_AUTH=policy` through `stowage serve`. */
export async function policyRegistry(): Promise<ProtectedRegistry> {
  return await withPolicy(async (place, settings) => [await serve(place, settings), settings]);
}

/** The same through functions and a data plane at one address. */
export async function policyFunctions(): Promise<ProtectedRegistry> {
  return await withPolicy(async (place, settings) => {
    // Both planes have a secret of their own.
    const { REGISTRY_HTTP_SECRET: secret = '', ...others } = settings;
    const env = { ...others, REGISTRY_AUTH_POLICY_SECRET: secret };
    const registry = await functionsAndDataPlane(place, undefined, env);
    // By default the service is named as the host is.
    return [registry, { ...env, REGISTRY_HTTP_HOST: `http://${registry.address}` }];
  });
}

/** The same through `stowage start`. */
export async function policyStart(): Promise<ProtectedRegistry> {
  return await withPolicy(async (place, settings) => {
    const env = {
      ...settings,
      REGISTRY_AUTH_POLICY_SECRET: 'another secret of a test, as long as it must be',
    };
    const registry = await start(place, env);
    const host = registry.address.replace('127.0.0.1', 'localhost');
    return [registry, { ...env, REGISTRY_HTTP_HOST: `http://${host}` }];
  });
}

async function withPolicy(
  start: (
    place: string,
    settings: ProtectedRegistry['settings'],
  ) => Promise<readonly [Registry, ProtectedRegistry['settings']]>,
): Promise<ProtectedRegistry> {
  const users = await policySettings(policy, ['alice']);
  const folder = await temporaryFolder('policy');
  const [registry, settings] = await start(join(folder.path, 'registry'), users.settings);
  return {
    address: registry.address,
    settings,
    stop: async () => {
      await registry.stop();
      folder.remove();
      users.remove();
    },
  };
}

/** Creates a robot's token, as a user does. @returns the password */
export async function createRobot(
  { settings }: Pick<ProtectedRegistry, 'settings'>,
  ...options: string[]
): Promise<string> {
  const args = [programFile('lib/commands/stowage.ts'), 'token', 'create', ...options];
  const { text } = await command(process.execPath, args, { env: cleanEnvironment(settings) });
  keepSecrets({ PASSWORDS: text });
  return text;
}

/** Seconds after which the client takes a token for expired. */
const clientLifetime = 1;

/** Seconds that the registry's clock is ahead in the end: tokens are older than they and their leeway of 60 s may be. */
const ahead = 100;

/** How a client notices that its token expires. */
export interface Expiry {
  /** The method of the request of an upload after whose response the token has expired. */
  readonly after: 'PATCH' | 'PUT';
  /** Seconds before the end of a token at which the client asks for another. */
  readonly early?: number;
}

/**
 * Pushes to a registry whose access tokens expire meanwhile. The registry's clock is behind at first. So a client, which adds
 * the lifetime of a token to the time at which it was issued, takes it for expired soon. Then the clock is moved, and for the
 * registry it has expired too.
 * @param push is given the registry's address
 */
export async function pushWhileTokenExpires(
  { after, early = 0 }: Expiry,
  push: (address: string) => Promise<void>,
): Promise<void> {
  const users = await policySettings(policy, ['alice']);
  const folder = await temporaryFolder('expiring-tokens');
  const clock = join(folder.path, 'clock');
  const setClock = async (seconds: number) => {
    await writeFile(clock, String(seconds));
  };
  await setClock(clientLifetime + early - accessTokenSeconds);
  const preload = new URL('../servers/moved-clock.ts', import.meta.url).href;
  const env = { ...users.settings, NODE_OPTIONS: `--import=${preload}`, STOWAGE_TEST_CLOCK: clock };
  const registry = await serve(join(folder.path, 'registry'), env);
  let answers: readonly number[] | undefined;
  let laterTokens = 0;
  const proxy = await startProxy(
    ({ url = '' }) => {
      if (answers !== undefined && url.startsWith('/token')) laterTokens++;
      return registry.address;
    },
    async (request) => {
      if (answers !== undefined || request.method !== after || !isUpload(request)) return;
      const before = await statusWithTokenOf(request, registry.address);
      await delay(clientLifetime * 1000);
      await setClock(ahead);
      answers = [before, await statusWithTokenOf(request, registry.address)];
    },
  );
  try {
    await push(proxy.address);
    assert.deepEqual(answers, [200, 401], 'the token has not expired in mid-push');
    assert.ok(laterTokens > 0, 'the client has not asked for another token');
  } finally {
    await proxy.stop();
    await registry.stop();
    folder.remove();
    users.remove();
  }
}

async function statusWithTokenOf({ headers }: IncomingMessage, address: string): Promise<number> {
  const { authorization = '' } = headers;
  const response = await fetch(`http://${address}/v2/`, { headers: { authorization } });
  await response.body?.cancel();
  return response.status;
}

function isUpload({ url = '' }: IncomingMessage): boolean {
  return url.includes('/blobs/uploads/');
}
