/** A server that speaks S3, for buckets of a test's own. */
export interface S3Server {
  /** Base URL. */
  readonly endpoint: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  createBucket(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** What a registry reads to keep its images in a bucket of a server. */
export function s3Settings(
  server: Omit<S3Server, 'createBucket' | 'stop'>,
  bucket: string,
): Record<string, string> {
  return {
    REGISTRY_STORAGE_S3_REGIONENDPOINT: server.endpoint,
    REGISTRY_STORAGE_S3_REGION: server.region,
    REGISTRY_STORAGE_S3_ACCESSKEY: server.accessKey,
    REGISTRY_STORAGE_S3_SECRETKEY: server.secretKey,
    REGISTRY_STORAGE_S3_BUCKET: bucket,
  };
}
