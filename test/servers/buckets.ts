import type { ServerName } from './requires.ts';
import { startScs } from './scs.ts';
import { bucketStorage, scsStorage, type TestStorage } from './storage.ts';
import { swift } from './swift.ts';

/** Makes a new bucket. `more` are settings of the registries on it. */
export type NewBucket = (more?: Record<string, string>) => Promise<TestStorage>;

/** A server that is running, for as many buckets as a test wants. */
export interface Buckets {
  /** Base URL, which signed URLs begin with. */
  readonly endpoint: string;
  readonly newBucket: NewBucket;
  stop(): Promise<void>;
}

/** A kind of bucket. */
export interface BucketKind {
  readonly name: string;
  /** What the names of its settings begin with. */
  readonly prefix: string;
  /** What must be installed. */
  readonly needs: readonly ServerName[];
  start(): Promise<Buckets>;
}

/** S3, as OpenStack Swift speaks it. */
export const onSwift: BucketKind = {
  name: 'S3',
  prefix: 'REGISTRY_STORAGE_S3_',
  needs: ['swift-proxy-server'],
  async start() {
    const server = await swift();
    const newBucket: NewBucket = async (more) => await bucketStorage(server, more);
    return { ...server, newBucket };
  },
};

/** SCS, as our own server speaks it. */
export const onScs: BucketKind = {
  name: 'SCS',
  prefix: 'REGISTRY_STORAGE_SCS_',
  needs: [],
  async start() {
    const server = await startScs();
    const newBucket: NewBucket = async (more) => await scsStorage(server, more);
    return {
      endpoint: server.endpoint,
      newBucket,
      stop: async () => {
        await server.stop();
      },
    };
  },
};

/** The settings of a bucket that is reached through a proxy. */
export function proxied(
  { prefix }: BucketKind,
  { settings }: TestStorage,
  proxy: { readonly endpoint: string },
): Readonly<Record<string, string>> {
  return { ...settings, [`${prefix}REGIONENDPOINT`]: proxy.endpoint };
}
