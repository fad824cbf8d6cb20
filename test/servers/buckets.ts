import { minio } from './minio.ts';
import type { ServerName } from './requires.ts';
import type { S3Server } from './s3.ts';
import { startScs } from './scs.ts';
import { bucketStorage, scsStorage, type TestStorage } from './storage.ts';
import { swift } from './swift.ts';
import { versitygw } from './versitygw.ts';

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

/** A kind that speaks S3. */
export interface S3Kind extends BucketKind {
  start(): Promise<Buckets & S3Server>;
}

/** S3, as OpenStack Swift speaks it: without conditional writes. */
export const onSwift = s3Kind('Swift', 'swift-proxy-server', swift);

/** S3, as MinIO speaks it. */
export const onMinio = s3Kind('MinIO', 'minio', minio);

/** S3, as Versity's gateway speaks it. */
export const onVersitygw = s3Kind('versitygw', 'versitygw', versitygw);

/** All that speak S3. */
export const s3Kinds: readonly S3Kind[] = [onSwift, onMinio, onVersitygw];

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

function s3Kind(name: string, server: ServerName, startServer: () => Promise<S3Server>): S3Kind {
  return {
    name,
    prefix: 'REGISTRY_STORAGE_S3_',
    needs: [server],
    async start() {
      const server = await startServer();
      const newBucket: NewBucket = async (more) => await bucketStorage(server, more);
      return { ...server, newBucket };
    },
  };
}

/** The settings of a bucket that is reached through a proxy. */
export function proxied(
  { prefix }: BucketKind,
  { settings }: TestStorage,
  proxy: { readonly endpoint: string },
): Readonly<Record<string, string>> {
  return { ...settings, [`${prefix}REGIONENDPOINT`]: proxy.endpoint };
}
