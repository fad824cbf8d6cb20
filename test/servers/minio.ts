import type { S3Server } from './s3.ts';
import { startS3 } from './s3-program.ts';

/** Starts MinIO on one drive, which is a folder. */
export async function minio(): Promise<S3Server> {
  return await startS3({
    program: 'minio',
    health: '/minio/health/ready',
    args: ({ address, folder }) => ['server', '--quiet', '--address', address, folder],
    env: ({ accessKey, secretKey }) => ({
      MINIO_ROOT_USER: accessKey,
      MINIO_ROOT_PASSWORD: secretKey,
      MINIO_BROWSER: 'off',
      // It asks elsewhere for news of itself.
      MINIO_UPDATE: 'off',
    }),
  });
}
