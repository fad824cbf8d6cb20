/** Registries that serve the same images: this one with its token service, and distribution with basic auth, each behind a proxy. */
import type { ObjectStore } from '../../lib/storage/store.ts';
import { UpstreamClient, type UpstreamOptions } from '../../lib/upstream/client.ts';
import { passwordOf } from '../access/policy-registry.ts';
import { startPolicyRegistry } from '../access/policy-server.ts';
import { distribution2 } from '../servers/distribution.ts';
import { registryProxy, type RegistryProxy } from '../servers/registry-proxy.ts';
import { folderStorage } from '../servers/storage.ts';

/** Who may pull from both. */
export const alice = { user: 'alice', password: passwordOf('alice') };

export interface Upstreams {
  /** What they serve. */
  readonly store: ObjectStore;
  readonly withTokens: RegistryProxy;
  readonly withBasic: RegistryProxy;
  stop(): Promise<void>;
}

export async function startUpstreams(): Promise<Upstreams> {
  const storage = await folderStorage();
  const ours = await startPolicyRegistry(
    'rules:\n  - { who: alice, repositories: ["**"], allow: [pull, push] }\n',
    ['alice', 'bob'],
    { settings: storage.settings },
  );
  const theirs = await distribution2.start({
    ...storage.settings,
    REGISTRY_AUTH_HTPASSWD_REALM: 'images',
    REGISTRY_AUTH_HTPASSWD_PATH: ours.htpasswdPath,
  });
  const withTokens = await registryProxy(ours.url);
  const withBasic = await registryProxy(`http://${theirs.address}`);
  return {
    store: await storage.open(),
    withTokens,
    withBasic,
    stop: async () => {
      await Promise.all([withTokens.stop(), withBasic.stop()]);
      await Promise.all([ours.stop(), theirs.stop()]);
      storage.remove();
    },
  };
}

/** A client that may ask this machine, and waits for no rate limit. */
export function clientOf(
  { url }: Pick<RegistryProxy, 'url'>,
  more: Partial<UpstreamOptions> = {},
): UpstreamClient {
  const options = {
    credentials: alice,
    privateAddresses: 'permitted',
    timeoutMs: 20_000,
    maxWaitMs: 0,
  } as const;
  return new UpstreamClient(url, { ...options, ...more });
}
