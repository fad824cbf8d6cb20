import { freePort } from '../servers/ports.ts';
import { serve, thisVersion, type Stowage } from '../servers/stowage.ts';
import type { Place, Stage } from './stage.ts';

/** Starts the data plane of a stage on this machine. @param secrets by their settings */
export async function dataPlaneOf(
  { emulator, s3 }: Place,
  stage: Stage,
  bucket: string,
  secrets: Readonly<Record<string, string>>,
): Promise<Stowage> {
  const version = thisVersion();
  const server = [...version.server, 'data-plane'] as const;
  const settings = {
    ...bucketSettings({ emulator, s3 }, bucket),
    REGISTRY_HTTP_HOST: `http://${stage.address}`,
  };
  const address = `127.0.0.1:${await freePort()}`;
  const isReady = async () => (await fetch(`http://${address}/readyz`)).ok;
  const env = { ...secrets, REGISTRY_HTTP_ADDR: address };
  const dataPlane = await serve(settings, env, { ...version, server }, isReady);
  stage.dataPlane = dataPlane.address;
  return dataPlane;
}

/** What a registry with all rights needs to use a bucket. */
export function bucketSettings({ emulator, s3 }: Place, bucket: string): Readonly<Record<string, string>> {
  const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = emulator.env;
  return {
    REGISTRY_STORAGE_S3_BUCKET: bucket,
    REGISTRY_STORAGE_S3_REGIONENDPOINT: s3.endpoint,
    REGISTRY_STORAGE_S3_CONDITIONALWRITES: 'true',
    REGISTRY_STORAGE_S3_ACCESSKEY: AWS_ACCESS_KEY_ID,
    REGISTRY_STORAGE_S3_SECRETKEY: AWS_SECRET_ACCESS_KEY,
  };
}
