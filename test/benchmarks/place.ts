import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { bucketProxy, type BucketProxy } from '../servers/bucket-proxy.ts';
import { goProgramPlace } from '../servers/go-programs.ts';
import { freePort } from '../servers/ports.ts';
import { cleanEnvironment, launch, type Server } from '../servers/process.ts';
import { s3Settings } from '../servers/s3.ts';

/** Where one registry keeps its images. */
export interface Place {
  /** The folder that has them; of a bucket, the one that the S3 server keeps it in. */
  readonly folder: string;
  /** A bucket, and the server that has it. */
  readonly bucket?: Bucket;
}

interface Bucket {
  readonly name: string;
  readonly endpoint: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

/** The settings of a place, which ours and distribution both read. */
export function settingsOf({ folder, bucket }: Place): Readonly<Record<string, string>> {
  return bucket === undefined
    ? { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder }
    : s3Settings(bucket, bucket.name);
}

/** Makes places for the registries of a row. */
export interface Places {
  /** @param name of the registry */
  newPlace(name: string): Promise<Place>;
  /** The proxy that counts, where there is one. */
  readonly proxy?: BucketProxy;
  stop(): Promise<void>;
}

export function folders(root: string): Places {
  return {
    newPlace: async (name) => {
      const folder = join(root, name);
      await mkdir(folder, { recursive: true });
      return { folder };
    },
    stop: async () => {
      await Promise.resolve();
    },
  };
}

/** Buckets of one versitygw, each a folder in which objects are files. */
export async function buckets(root: string, counted: boolean): Promise<Places> {
  const folder = join(root, 's3');
  await mkdir(folder, { recursive: true });
  const address = `127.0.0.1:${await freePort()}`;
  const [accessKey, secretKey] = ['tester', 'testing-secret'];
  const server = await startGateway(address, folder, [accessKey, secretKey]);
  const direct = `http://${address}`;
  const proxy = counted ? await bucketProxy(direct) : undefined;
  const endpoint = proxy?.endpoint ?? direct;
  const account = { endpoint, region: 'us-east-1', accessKey, secretKey };
  const client = new S3Client({
    ...{ endpoint: direct, region: account.region, forcePathStyle: true },
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
  });
  return {
    ...(proxy && { proxy }),
    newPlace: async (name) => {
      await client.send(new CreateBucketCommand({ Bucket: name }));
      return { folder: join(folder, name), bucket: { ...account, name } };
    },
    stop: async () => {
      client.destroy();
      await proxy?.stop();
      await server.stop();
    },
  };
}

async function startGateway(
  address: string,
  folder: string,
  [access, secret]: readonly [string, string],
): Promise<Server> {
  const args = [
    ...['--quiet', '--keep-alive', '--port', address, '--health', '/health'],
    ...['--access', access, '--secret', secret, 'posix', folder],
  ];
  const ready = async () => (await fetch(`http://${address}/health`)).ok;
  return await launch(goProgramPlace('versitygw').file, args, ready, { env: cleanEnvironment() });
}
