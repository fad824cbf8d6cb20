import { bucketProxy, type BucketRequest, type Fate, type Received } from '../servers/bucket-proxy.ts';
import { onMinio, onScs, onSwift, onVersitygw, proxied, type BucketKind } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import type { Random } from './random.ts';
import type { Weaknesses } from './registry-model.ts';

/** Requests to the bucket of which one fails. */
const faultEvery = 40;

const fates: readonly Fate[] = [
  'drop-request',
  'drop-answer',
  'cut-body',
  { status: 503, code: 'SlowDown' },
  { status: 500, code: 'InternalError' },
];

/** A kind of storage to run on. */
export interface Ground {
  readonly name: GroundName;
  readonly weaknesses: Weaknesses;
  /** Whether requests to it can be made to fail. */
  readonly canFail: boolean;
  /** A new storage. @param random decides which requests to it fail; without it none does */
  readonly storage: (random: Random | undefined) => Promise<TestStorage>;
  /**
   * A way to a storage for one process alone, with the same faults; none to a folder.
   * @param catches what becomes of a request, unless nothing special does
   */
  readonly route?: (
    storage: TestStorage,
    catches: (request: BucketRequest) => Fate | Received | undefined,
  ) => Promise<Route>;
  /** Whether garbage collection deletes there. */
  readonly isCollected: boolean;
  /** By how many seconds clocks may differ: not those of a folder's one machine, and SCS refuses signatures of another time. */
  readonly clockSeconds: number;
  /** No request fails any more. */
  readonly heal: () => void;
  readonly stop: () => Promise<void>;
}

/** The way of a process to its storage. */
export interface Route {
  readonly settings: TestStorage['settings'];
  /** Once no request is under way. */
  readonly stop: () => Promise<void>;
}

export const groundNames = ['folder', 'SCS', 'Swift', 'MinIO', 'versitygw'] as const;
export type GroundName = (typeof groundNames)[number];

const bucketKinds = { SCS: onScs, Swift: onSwift, MinIO: onMinio, versitygw: onVersitygw };

const folder: Ground = {
  name: 'folder',
  weaknesses: {},
  canFail: false,
  isCollected: true,
  clockSeconds: 0,
  storage: async () => await folderStorage(),
  heal: () => undefined,
  stop: async () => {
    await Promise.resolve();
  },
};

/** Starts its server. */
export async function startGround(name: GroundName): Promise<Ground> {
  if (name === 'folder') return folder;
  const kind = bucketKinds[name];
  const weaknesses = kind === onSwift ? { listingsLag: true, rewritesFlicker: true } : {};
  return await bucketGround(name, kind, weaknesses);
}

/** Those that this machine has all programs for. */
export function availableGrounds(): readonly GroundName[] {
  return groundNames.filter((name) => whyNoGround(name) === undefined);
}

/** What is missing to run on a ground; undefined if nothing is. */
export function whyNoGround(name: GroundName): string | undefined {
  return name === 'folder' ? undefined : requires(...bucketKinds[name].needs).skip;
}

async function bucketGround(name: GroundName, kind: BucketKind, weaknesses: Weaknesses): Promise<Ground> {
  const buckets = await kind.start();
  const proxy = await bucketProxy(buckets.endpoint);
  return {
    name,
    weaknesses,
    canFail: true,
    isCollected: kind !== onScs && kind !== onSwift,
    clockSeconds: kind === onScs ? 600 : 3600,
    storage: async (random) => {
      proxy.reset();
      const direct = await buckets.newBucket();
      if (random === undefined) return direct;
      proxy.intercept = () => (random.onceIn(faultEvery) ? random.one(fates) : 'pass');
      return { ...direct, settings: proxied(kind, direct, proxy) };
    },
    route: async (storage, catches) => {
      const own = await bucketProxy(buckets.endpoint);
      own.intercept = async (request, index) => catches(request) ?? (await proxy.intercept(request, index));
      const stop = async () => {
        await own.settled();
        await own.stop();
      };
      return { settings: proxied(kind, storage, own), stop };
    },
    heal: () => {
      proxy.intercept = () => 'pass';
    },
    stop: async () => {
      await proxy.stop();
      await buckets.stop();
    },
  };
}
