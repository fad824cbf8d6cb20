import assert from 'node:assert/strict';
import { chownSync, existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { lifetime, startCiRegistry, type CiRegistry, type TokenRequest } from '../access/oidc/ci-registry.ts';
import { runStowage } from '../infra/run-node.ts';

/** What a client keeps after its own login. */
export type Kept = 'a refresh token' | 'the job token' | 'nothing';

/** A client as a CI job uses it. */
export interface CiClient {
  /** What its own login keeps. */
  readonly keeps: Kept;
  /** How it asks for tokens to push, with what is kept by its own login, and by `stowage login`. */
  readonly asks: { readonly login: readonly TokenRequest[]; readonly stored: readonly TokenRequest[] };
  /** Its login keeps the password without asking the registry. */
  readonly believes?: true;
  /** The file in which it keeps logins; undefined for one that is given the password with each push. */
  readonly file: string | undefined;
  /** The file of docker, which it reads as well, where that is another. */
  readonly dockerFile?: string;
  login(address: string, password: string): Promise<unknown>;
  /** @param password for a client that keeps none */
  push(reference: string, password: string): Promise<unknown>;
}

/** Minutes after the login at which the build of a test is done. */
const built = 90;

/** What a job does with a client, in order. Each has a clock that is moved, and so works alone. */
export function ciFlows(client: CiClient): Readonly<Record<string, () => Promise<void>>> {
  const { keeps, asks, file, believes } = client;
  const lives = keeps === 'a refresh token';
  /** Whether its login asks the registry. */
  const isAsked = !believes && keeps !== 'nothing';
  let count = 0;
  const withRegistry = async (work: (registry: CiRegistry) => Promise<void>) => {
    const registry = await startCiRegistry();
    try {
      await work(registry);
      assert.doesNotMatch(registry.output(), /stowage_refresh_|eyJ/, 'its log has a token');
    } finally {
      if (file !== undefined) rmSync(file, { force: true });
      await registry.stop();
    }
  };
  const push = async ({ address }: CiRegistry, password: string) =>
    await client.push(`${address}/team/app:${++count}`, password);

  return {
    [`keeps ${keeps} when it logs in by a job's token, and ${lives ? 'pushes' : 'cannot push'} after ${built} minutes`]:
      async () => {
        await withRegistry(async (registry) => {
          const token = await registry.jobToken();
          await client.login(registry.address, token);
          assert.equal(keptIn(file, registry.address), keeps);
          registry.requests();
          await push(registry, token);
          assert.deepEqual(kindsOf(registry), asks.login);
          registry.moveClock(built);
          if (lives) await push(registry, token);
          else await assert.rejects(push(registry, token), refused);
          registry.moveClock(lifetime + 1);
          await assert.rejects(push(registry, token), refused);
        });
      },

    [`pushes after ${built} minutes by the password of stowage login, and not after its lifetime`]:
      async () => {
        await withRegistry(async (registry) => {
          const password = await logIn(registry, client.dockerFile ?? file);
          registry.moveClock(built);
          registry.requests();
          await push(registry, password);
          assert.deepEqual(kindsOf(registry), asks.stored);
          registry.moveClock(lifetime - 1);
          await push(registry, password);
          registry.moveClock(lifetime + 1);
          await assert.rejects(push(registry, password), refused);
        });
      },

    [`is refused when it ${isAsked ? 'logs in' : 'pushes'} by a token that has expired`]: async () => {
      await withRegistry(async (registry) => {
        const token = await registry.jobToken();
        registry.moveClock(11);
        const logsIn = client.login(registry.address, token);
        if (isAsked) await assert.rejects(logsIn, refused);
        else {
          await logsIn;
          await assert.rejects(push(registry, token), refused);
        }
        assert.equal(keptIn(file, registry.address), believes ? keeps : 'nothing');
      });
    },
  };
}

/** What clients say where the registry answers 401. The number may be in a port. */
const refused = /unauthorized|authentication required|invalid username\/password/i;

/** Runs `stowage login`. @returns the password, where the client has no file of its own */
async function logIn(registry: CiRegistry, file: string | undefined): Promise<string> {
  const env = { STOWAGE_ID_TOKEN: await registry.jobToken(), ...(file && { REGISTRY_AUTH_FILE: file }) };
  const args = ['login', registry.address, '--oidc', ...(file === undefined ? ['--print'] : [])];
  const { code, output, errors } = await runStowage(args, env);
  assert.equal(code, 0, errors);
  if (file !== undefined) {
    // The job of a test may run as another user.
    const { uid, gid } = statSync(dirname(file));
    chownSync(file, uid, gid);
  }
  return output.trim();
}

function kindsOf(registry: CiRegistry): readonly TokenRequest[] {
  return [...new Set(registry.requests())].sort();
}

function keptIn(file: string | undefined, address: string): Kept {
  if (file === undefined || !existsSync(file)) return 'nothing';
  const { auths = {} } = JSON.parse(readFileSync(file, 'utf8')) as {
    auths?: Record<string, { auth?: string; identitytoken?: string }>;
  };
  const { auth = '', identitytoken } = auths[address] ?? {};
  if (identitytoken?.startsWith('stowage_refresh_')) return 'a refresh token';
  return Buffer.from(auth, 'base64').toString().startsWith('oidc:eyJ') ? 'the job token' : 'nothing';
}
