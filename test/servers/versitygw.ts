import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startS3, type S3Process } from './s3-program.ts';

/** Starts Versity's S3 gateway, whose buckets are folders. @param versions whether buckets can keep versions */
export async function versitygw({ versions = false } = {}): Promise<S3Process> {
  return await startS3({
    program: 'versitygw',
    health: '/health',
    args: ({ address, folder, accessKey, secretKey }) => [
      ...['--quiet', '--keep-alive', '--port', address, '--health', '/health'],
      ...['--access', accessKey, '--secret', secretKey],
      ...['posix', ...(versions ? versioned(folder) : [folder])],
    ],
  });
}

/** Versions are in a folder beside that of the buckets. */
function versioned(folder: string): string[] {
  const places = [join(folder, 'versions'), join(folder, 'buckets')];
  for (const place of places) mkdirSync(place, { recursive: true });
  return ['--versioning-dir', ...places];
}
