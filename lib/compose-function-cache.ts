import type { CacheWiring } from './compose-cache.ts';
import { prefixOf } from './compose-cache.ts';
import { BucketClaims } from './cache/bucket-claims.ts';
import type { CopyBlobOptions } from './cache/copy-blob.ts';
import { FunctionBlobs, type AskForCopy } from './cache/function-blobs.ts';
import type { CacheOptions } from './cache/create-cache.ts';
import { Sources } from './cache/sources.ts';
import { UpstreamRequests } from './cache/upstream-requests.ts';
import type { Config } from './config/config.ts';
import type { Registry } from './registry/interface.ts';
import { createRegistry } from './registry/registry.ts';
import type { ObjectStore } from './storage/store.ts';
import { UpstreamLoops } from './upstream-loops.ts';

/** The blobs of caches, in functions. @param registry unrestricted */
export function functionBlobs(
  registry: Registry,
  {
    copyFunction,
    dataPlane,
    redirectEnabled,
  }: Pick<Config, 'copyFunction' | 'dataPlane' | 'redirectEnabled'>,
  { store, log, observe }: Pick<CacheWiring, 'store' | 'log' | 'observe'>,
): CacheOptions['blobs'] {
  return (parts) =>
    new FunctionBlobs({
      ...{ ...parts, registry, observe },
      claims: new BucketClaims(store),
      // Who may not be sent to the bucket is sent to the data plane.
      ask: copyFunction !== undefined && redirectEnabled ? askLater(copyFunction) : undefined,
      hasDataPlane: dataPlane !== undefined,
      onFailure: (blob, error) => {
        log.error(
          { ...blob, err: error },
          `${copyFunction ?? ''} could not be invoked, so a blob is not copied from its upstream`,
        );
      },
    });
}

/** What the function `copy` works with. */
export interface CopyJob extends CopyBlobOptions {
  readonly sources: Sources;
  /** Lets the next invocation go on; undefined if nobody knows the name of the function. */
  readonly ask: AskForCopy | undefined;
}

export function createCopyJob(
  {
    upstreams,
    copyFunction,
    secrets,
    secretIsGenerated,
  }: Pick<Config, 'upstreams' | 'copyFunction' | 'secrets' | 'secretIsGenerated'>,
  store: ObjectStore,
): CopyJob {
  const loops = new UpstreamLoops(secrets[0] ?? '');
  return {
    // Other functions learn by the secret which repository has a blob already.
    registry: createRegistry(store, { secrets: secretIsGenerated ? [] : secrets }),
    // Each copy says itself what it could not get.
    requests: new UpstreamRequests(store, { onOutage: () => undefined, workers: 1 }),
    sources: new Sources(upstreams.map((upstream) => prefixOf(upstream, loops))),
    claims: new BucketClaims(store),
    ask: copyFunction === undefined ? undefined : askLater(copyFunction),
  };
}

/** Loads the client of Lambda with the first copy. */
function askLater(copyFunction: string): AskForCopy {
  let loading: Promise<AskForCopy> | undefined;
  const load = async () => (await import('./lambda/ask-for-copies.ts')).askForCopies(copyFunction);
  return async (blob, turn) => {
    await (
      await (loading ??= load())
    )(blob, turn);
  };
}
