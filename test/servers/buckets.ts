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
  /** The setting that says where its server is, for a proxy to stand before it. */
  readonly endpointSetting: string;
  /** What must be installed. */
  readonly needs: readonly ServerName[];
  start(): Promise<Buckets>;
}

/** S3, as OpenStack Swift speaks it. */
export const onSwift: BucketKind = {
  name: 'S3',
  endpointSetting: 'REGISTRY_STORAGE_S3_REGIONENDPOINT',
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
  endpointSetting: 'REGISTRY_STORAGE_SCS_REGIONENDPOINT',
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
