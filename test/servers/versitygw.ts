import { startS3, type S3Process } from './s3-program.ts';

/** Starts Versity's S3 gateway, whose buckets are folders. */
export async function versitygw(): Promise<S3Process> {
  return await startS3({
    program: 'versitygw',
    health: '/health',
    args: ({ address, folder, accessKey, secretKey }) => [
      ...['--quiet', '--keep-alive', '--port', address, '--health', '/health'],
      ...['--access', accessKey, '--secret', secretKey],
      ...['posix', folder],
    ],
  });
}
