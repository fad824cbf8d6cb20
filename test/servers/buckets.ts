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
  /** What must be installed. */
  readonly needs: readonly ServerName[];
  start(): Promise<Buckets>;
}

/** S3, as OpenStack Swift speaks it. */
export const onSwift: BucketKind = {
  name: 'S3',
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
