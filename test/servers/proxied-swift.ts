import { bucketProxy, type BucketProxy } from './bucket-proxy.ts';
import { bucketStorage } from './storage.ts';
import { swift } from './swift.ts';

/** A bucket of Swift behind a proxy that counts its requests and injects faults. */
export interface ProxiedSwift {
  readonly proxy: BucketProxy;
  /** Of a registry on it. */
  readonly settings: Readonly<Record<string, string>>;
  readonly stop: () => Promise<void>;
}

export async function proxiedSwift(): Promise<ProxiedSwift> {
  const server = await swift();
  const proxy = await bucketProxy(server.endpoint);
  const { settings } = await bucketStorage({ ...server, endpoint: proxy.endpoint });
  return {
    proxy,
    settings,
    stop: async () => {
      await proxy.stop();
      await server.stop();
    },
  };
}
