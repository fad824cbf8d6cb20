import { RegistryError } from '../protocol/errors.ts';
import type { Digest } from '../protocol/digests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Accept } from '../protocol/negotiation.ts';
import type { Reference } from '../protocol/references.ts';
import type { Tag } from '../protocol/tags.ts';
import { SingleFlight } from '../concurrency/single-flight.ts';
import type { FoundManifest, Registry } from '../registry/interface.ts';
import { ExpiringCache } from '../registry/expiring-cache.ts';
import { withoutDeadline } from '../storage/deadline.ts';
import { UpstreamError } from '../upstream/upstream.ts';
import type { ObserveCache } from './cache-event.ts';
import { asRegistryError, isOutage, undefinedIfUnknown, unknownManifest } from './errors.ts';
import { outageMs } from './outages.ts';
import type { Platforms } from './platforms.ts';
import type { Source } from './sources.ts';
import { beforeStale } from './stale-after.ts';
import type { TagFreshness, TagState } from './tag-freshness.ts';
import type { UpstreamRequests } from './upstream-requests.ts';
import { isAboutBytes, isVerdict, Verdicts } from './verdicts.ts';

/** Milliseconds for which an image that is not stored here is not got again: as long as a 404, or by its digest, until settings may differ. */
const refusalMs = 30_000;
const refusedImageMs = 3_600_000;

export interface CachedManifestsOptions {
  /** Unrestricted, without events: what is cached is no push. */
  readonly registry: Pick<Registry, 'manifests'>;
  readonly requests: UpstreamRequests;
  readonly freshness: TagFreshness;
  readonly platforms: Platforms;
  readonly observe: ObserveCache;
  /** Told each time that a tag was answered which could not be checked. */
  readonly onOutage: (source: Source, error: UpstreamError) => void;
}

/** The manifests of repositories that are caches. */
export class CachedManifests {
  readonly #options: CachedManifestsOptions;
  /** Tags and manifests that are being looked up, by name and reference. */
  readonly #lookups = new SingleFlight<string, Outcome>();
  /**
   * Tags that could not be looked up just now. What is cached need not wait for the next attempt. It says nothing of other tags: whether
   * the upstream answers at all, `requests` know.
   */
  readonly #unanswered = new ExpiringCache<string, UpstreamError>({ ttlMs: outageMs, maxSize: 1000 });

  /** By source, repository, and tag or digest. */
  readonly #refusals = new Verdicts(refusalMs, isVerdict);
  /** By source, repository and digest. */
  readonly #refusedImages = new Verdicts(refusedImageMs, isAboutBytes);

  constructor(options: CachedManifestsOptions) {
    this.#options = options;
  }

  async get(
    source: Source,
    name: RepositoryName,
    reference: Reference,
    accept: Accept | undefined,
  ): Promise<FoundManifest> {
    const { registry, observe } = this.#options;
    const found =
      reference.kind === 'tag'
        ? await this.#tagged(source, name, reference.tag, accept)
        : await this.#byDigest(source, name, reference.digest);
    observe({ type: 'manifest', kind: found.isHit ? 'hit' : 'miss' });
    const manifest = found.manifest ?? (await registry.manifests.get(name, reference, accept));
    observe({ type: 'manifest', kind: 'pushed', bytes: manifest.bytes.byteLength });
    return manifest;
  }

  async #byDigest(source: Source, name: RepositoryName, digest: Digest): Promise<Found> {
    const reference: Reference = { kind: 'digest', digest };
    const manifest = await undefinedIfUnknown(this.#options.registry.manifests.get(name, reference));
    if (manifest !== undefined) return { isHit: true, manifest };
    const fetch = async (): Promise<Outcome> => {
      const key = `${source.id} ${source.remote}@${digest}`;
      await this.#refusals.run(key, async () => {
        await this.#fetch(source, name, digest, []);
      });
      return { isHit: false };
    };
    return await this.#shared(source, `${name}@${digest}`, fetch).catch((error: unknown) => {
      throw asRegistryError(error, unknownManifest(reference));
    });
  }

  async #tagged(source: Source, name: RepositoryName, tag: Tag, accept: Accept | undefined): Promise<Found> {
    const { registry, freshness, observe, onOutage } = this.#options;
    const reference: Reference = { kind: 'tag', tag };
    const get = async () => await undefinedIfUnknown(registry.manifests.get(name, reference, accept));
    if (freshness.isKnownFresh(name, tag, source.freshnessMs)) {
      const manifest = await get();
      if (manifest !== undefined) return { isHit: true, manifest };
    }
    const lookUp = async () => await this.#lookUp(source, name, tag);
    const { isHit, outage } = await this.#shared(source, `${name}:${tag}`, lookUp).catch((error: unknown) => {
      if (isOutage(error)) return { isHit: false, outage: error };
      throw asRegistryError(error, unknownManifest(reference));
    });
    if (outage === undefined) return { isHit };
    const manifest = await get();
    // The tag is not there, or without its manifest.
    if (manifest === undefined) throw asRegistryError(outage, unknownManifest(reference));
    observe({ type: 'manifest', kind: 'stale' });
    onOutage(source, outage);
    return { isHit: true, manifest: { ...manifest, isStale: true } };
  }

  /** Waits for work that asks an upstream. Concurrent pulls of the same share it. @throws UpstreamError; RegistryError BUSY */
  async #shared(source: Source, key: string, work: () => Promise<Outcome>): Promise<Outcome> {
    const once = async () =>
      await this.#lookups.run(key, async () => await withoutDeadline(async () => await work()));
    return await this.#options.requests.wait(source, once);
  }

  /** Finds out where a tag points, and has it in the bucket then. @throws UpstreamError */
  async #lookUp(source: Source, name: RepositoryName, tag: Tag): Promise<Outcome> {
    const { registry, freshness } = this.#options;
    const state = await freshness.look(name, tag, source.freshnessMs);
    if (state === undefined) return { isHit: await this.#refresh(source, name, tag, undefined) };
    if (state.isFresh && (await registry.manifests.has(name, state.digest))) return { isHit: true };
    const key = `${source.id} ${source.remote}:${tag}`;
    const known = this.#unanswered.get(key);
    if (known !== undefined) return { isHit: true, outage: known };
    try {
      // It goes on if it takes longer, and the next pull finds what it has found.
      const refreshed = this.#refresh(source, name, tag, state);
      return { isHit: await beforeStale(source, refreshed) };
    } catch (error) {
      if (!isOutage(error)) throw error;
      this.#unanswered.set(key, error);
      return { isHit: true, outage: error };
    }
  }

  /** Asks the upstream where a tag points. @param state what is known of it @returns whether it still points there */
  async #refresh(
    source: Source,
    name: RepositoryName,
    tag: Tag,
    state: TagState | undefined,
  ): Promise<boolean> {
    const work = async () => await this.#ask(source, name, tag, state);
    return await this.#refusals.run(`${source.id} ${source.remote}:${tag}`, work);
  }

  async #ask(source: Source, name: RepositoryName, tag: Tag, state: TagState | undefined): Promise<boolean> {
    const { registry, freshness, requests } = this.#options;
    const { digest } = await requests.ask(
      source,
      `:${tag}`,
      async ({ upstream, remote }) => await upstream.resolve(remote, { kind: 'tag', tag }),
    );
    const isSame = state?.digest === digest && (await registry.manifests.has(name, digest));
    if (isSame) await freshness.confirm(name, tag, state);
    else await this.#move(source, name, tag, digest);
    return isSame;
  }

  /** Points a tag at a manifest, which is fetched if the repository does not have it. */
  async #move(source: Source, name: RepositoryName, tag: Tag, digest: Digest): Promise<void> {
    const { registry, freshness } = this.#options;
    const held = await undefinedIfUnknown(registry.manifests.get(name, { kind: 'digest', digest }));
    if (held === undefined) await this.#fetch(source, name, digest, [tag]);
    else await this.#put(name, digest, held.bytes, [tag]);
    freshness.moved(name, tag);
  }

  /** Gets a manifest, and stores it before anything that it names. @throws UpstreamError */
  async #fetch(source: Source, name: RepositoryName, digest: Digest, tags: readonly Tag[]): Promise<void> {
    const { requests, platforms, observe } = this.#options;
    const fetch = async () => {
      const { bytes } = await requests.ask(source, digest, async ({ upstream, remote }) => {
        const manifest = await upstream.manifest(remote, digest);
        observe({ type: 'manifest', kind: 'pulled', bytes: manifest.bytes.byteLength });
        return manifest;
      });
      await platforms.assertWanted(source, bytes);
      await this.#put(name, digest, bytes, tags);
    };
    await this.#refusedImages.run(`${source.id} ${source.remote}@${digest}`, async () => {
      await fetch().catch((error: unknown) => {
        throw notStorable(source, error) ?? error;
      });
    });
  }

  async #put(name: RepositoryName, digest: Digest, bytes: Buffer, tags: readonly Tag[]): Promise<void> {
    const reference: Reference = { kind: 'digest', digest };
    // The bytes say what they are.
    await this.#options.registry.manifests.put(name, reference, bytes, undefined, { tags, isPartial: true });
  }
}

/** What was found out about a tag. */
interface Outcome {
  /** Whether it was in the bucket already. */
  readonly isHit: boolean;
  /** Why the upstream could not be asked. */
  readonly outage?: UpstreamError;
}

interface Found {
  readonly isHit: boolean;
  /** If it was read already. */
  readonly manifest?: FoundManifest;
}

/** The error for what the upstream has and nobody can read, or this registry does not store; undefined for any other. */
function notStorable({ upstream, remote }: Source, error: unknown): RegistryError | undefined {
  const isUnreadable =
    error instanceof UpstreamError && error.kind === 'unknown' && error.cause !== undefined;
  const isInvalid = error instanceof RegistryError && error.failure === 'MANIFEST_INVALID';
  if (!isUnreadable && !isInvalid) return undefined;
  const message = `${upstream.host} has a manifest in ${remote} that this registry does not store: ${error.message}`;
  return new RegistryError('MANIFEST_UNKNOWN', message, [], { cause: error });
}
