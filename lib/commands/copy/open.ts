import { immutableTagsOf, openRules } from '../../compose-rules.ts';
import type { UpstreamConfig } from '../../config/upstreams.ts';
import { fromStorage } from '../../copy/from-storage.ts';
import { fromUpstream } from '../../copy/from-upstream.ts';
import type { CopySource, CopyTarget } from '../../copy/source.ts';
import { announceAs } from '../../operator-events.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Immutable } from '../../registry/interface.ts';
import { Quotas } from '../../registry/quotas/quotas.ts';
import { createRegistry } from '../../registry/registry.ts';
import { withQuota } from '../../registry/wrappers/with-quota.ts';
import type { Credentials } from '../../upstream/authorization.ts';
import { UpstreamClient } from '../../upstream/client.ts';
import { readLogin } from '../login/stored-logins.ts';
import { openStorage, operator, type Opened } from '../undo/open.ts';
import type { ImageName } from './image-name.ts';
import { withRemedies } from './own-source.ts';

/** Milliseconds that a copy waits for a registry which has asked for a pause. */
const maxWaitMs = 120_000;

/** How another registry is asked. */
export interface AccessOptions {
  /** Without: what docker or podman have stored. */
  readonly credentials?: Credentials | undefined;
  /** By http instead of https. */
  readonly plainHttp: boolean;
  /** Permits addresses that are not public. */
  readonly privateAddresses: boolean;
  /** What sets that, for messages. */
  readonly remedy: string;
}

/** The storage that is copied to. */
export class Copies {
  readonly opened: Opened;
  readonly #registry: ReturnType<typeof createRegistry>;
  readonly #quotas: Quotas | undefined;
  readonly #immutable: (name: RepositoryName) => Immutable | undefined;
  /** By host. */
  readonly #clients = new Map<string, Promise<UpstreamClient>>();

  private constructor(
    opened: Opened,
    quotas: Quotas | undefined,
    immutable: (name: RepositoryName) => Immutable | undefined,
  ) {
    this.opened = opened;
    this.#registry = createRegistry(opened.store, opened.config);
    this.#quotas = quotas;
    this.#immutable = immutable;
  }

  /** @param file a configuration file @throws ConfigError; Error if the storage is read-only and is to be written */
  static async open(file: string | undefined, { writes }: { readonly writes: boolean }): Promise<Copies> {
    const opened = await openStorage(file, { writes });
    const rules = await openRules(opened.config, opened.store);
    const quotas = rules && new Quotas(opened.store, rules);
    return new Copies(opened, quotas, await immutableTagsOf(opened.config, opened.store));
  }

  /** @throws Error if it is a cache; RegistryError UNAVAILABLE if there is no valid policy */
  async target(name: RepositoryName): Promise<CopyTarget> {
    const upstream = this.#cachedFrom(name);
    if (upstream !== undefined)
      throw new Error(
        `${name} is a cache of ${upstream.url}, and has what is pulled from there alone: copy to a repository of this registry's own`,
      );
    const limit = await this.#quotas?.limitOf(name);
    const registry = limit === undefined ? this.#registry : withQuota(this.#registry, limit);
    return {
      registry,
      name,
      immutable: this.#immutable(name),
      pushedBy: operator(),
      announce: announceAs(this.opened.outbox, 'copy'),
    };
  }

  /** @throws Error if the stored logins cannot be read */
  async source({ host, name }: ImageName, access: AccessOptions): Promise<CopySource> {
    if (host === undefined) {
      const source = fromStorage(this.opened.store, this.#registry, name);
      return withRemedies(source, name, this.#cachedFrom(name));
    }
    const client = this.#clients.get(host) ?? openClient(host, access);
    this.#clients.set(host, client);
    return fromUpstream(await client, name);
  }

  /** Of which a repository is a cache; undefined for one of this registry's own. The closest prefix counts. */
  #cachedFrom(name: RepositoryName): UpstreamConfig | undefined {
    const found = this.opened.config.upstreams.filter(({ prefix }) => name.startsWith(prefix));
    return found.toSorted((a, b) => b.prefix.length - a.prefix.length)[0];
  }
}

async function openClient(
  host: string,
  { credentials, plainHttp, privateAddresses, remedy }: AccessOptions,
): Promise<UpstreamClient> {
  const url = new URL(`${plainHttp ? 'http' : 'https'}://${host}`);
  return new UpstreamClient(url, {
    credentials: credentials ?? (await storedLogin(host)),
    privateAddresses: privateAddresses ? 'permitted' : { remedy },
    maxWaitMs,
  });
}

/** docker stores the login of Docker Hub under another name. */
async function storedLogin(host: string): Promise<Credentials | undefined> {
  const names = host === 'docker.io' ? ['https://index.docker.io/v1/', host] : [host];
  for (const name of names) {
    const login = await readLogin(name);
    if (login !== undefined) return login;
  }
  return undefined;
}
