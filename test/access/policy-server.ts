import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServices } from '../../lib/compose.ts';
import { loadConfig } from '../../lib/config/config.ts';
import { all } from '../../lib/http/all.ts';
import { createApp } from '../../lib/http/app.ts';
import type { Services } from '../../lib/http/services.ts';
import { folderStorage } from '../servers/storage.ts';
import { policySettings, type PolicySettings } from './policy-registry.ts';

/** A registry in this process, on a temporary folder. */
export interface TestRegistry {
  readonly url: string;
  stop(): Promise<void>;
}

/** One with a policy, and the files that it reads. */
export interface PolicyRegistry extends TestRegistry, PolicySettings {}

export interface RegistryOptions {
  /** Beside its storage and address. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Replaces parts of it. */
  readonly replace?: (services: Services) => Partial<Services>;
}

/** @throws Error where it does not start */
export async function startRegistry({
  settings = {},
  replace = () => ({}),
}: RegistryOptions = {}): Promise<TestRegistry> {
  const storage = await folderStorage();
  const environment = { ...storage.settings, REGISTRY_LOG_LEVEL: 'error', ...settings };
  const services = await createServices('server', loadConfig('server', environment)).catch(
    (error: unknown) => {
      storage.remove();
      throw error;
    },
  );
  // Audit lines would be lost in the output of the tests.
  const app = createApp(all, { ...services, audit: undefined, ...replace(services) });
  const server = createServer((request, response) => void app(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await services.search.close();
      storage.remove();
    },
  };
}

/** @param policy text of the policy file @param users who can log in */
export async function startPolicyRegistry(
  policy: string,
  users: readonly string[],
  { settings = {}, replace }: RegistryOptions = {},
): Promise<PolicyRegistry> {
  const access = await policySettings(policy, users);
  const registry = await startRegistry({
    settings: { ...access.settings, ...settings },
    ...(replace && { replace }),
  });
  return {
    ...access,
    url: registry.url,
    stop: async () => {
      await registry.stop();
      access.remove();
    },
  };
}

/** Settings with what all of their names begin with. */
export function prefixed(
  prefix: string,
  settings: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]): [string, string] => [`${prefix}${name}`, value]),
  );
}
