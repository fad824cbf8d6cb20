import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { open, type FileHandle } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createSHA256 } from 'hash-wasm';
import { temporaryFolder } from '../../servers/folder.ts';
import type { LoadResult } from '../generator.ts';
import type { OwnContext, OwnRow, Sample } from '../row.ts';

const MiB = 1024 ** 2;

/** Large enough that the start does not count. */
const megabytes = 256;

const piece = randomBytes(MiB);

const limit = (name: string, title: string, measure: OwnRow['measure']): OwnRow => ({
  ...{ name: `limit/${name}`, title: () => title, unit: 'MiB/s', more: true, measure },
});

/** What each step of a push and a pull can reach alone on this machine. They have no goal. */
export const limitRows: readonly OwnRow[] = [
  limit('sha256', 'SHA-256 by node:crypto', async () => {
    const hash = createHash('sha256');
    return await rateOf(async () => {
      for (let i = 0; i < megabytes; i++) hash.update(piece);
      await Promise.resolve();
    });
  }),
  limit('sha256-saveable', 'SHA-256 whose state can be saved, by hash-wasm', async () => {
    const hash = await createSHA256();
    return await rateOf(async () => {
      for (let i = 0; i < megabytes; i++) hash.update(piece);
      await Promise.resolve();
    });
  }),
  limit(
    'write',
    'write of a file, and fsync',
    async () =>
      await onFile(
        async (file) =>
          await rateOf(async () => {
            for (let i = 0; i < megabytes; i++) await file.write(piece);
            await file.sync();
          }),
      ),
  ),
  limit(
    'read',
    'read of a file that is in memory',
    async () =>
      await onFile(async (file) => {
        for (let i = 0; i < megabytes; i++) await file.write(piece);
        const into = Buffer.alloc(MiB);
        return await rateOf(async () => {
          for (let i = 0; i < megabytes; i++) await file.read(into, 0, MiB, i * MiB);
        });
      }),
  ),
  limit('loopback', 'copy over a loopback connection', async ({ generator }) =>
    perSecond(await generator.run<LoadResult>('loopback', [`--size=${4 * megabytes * MiB}`])),
  ),
  limit(
    'http-receive',
    'PATCH to a server of Node that does nothing with it',
    async (context) => await onServer(takeAll, context, 'push', [`--size=${megabytes * MiB}`]),
  ),
  limit(
    'http-send',
    'GET from a server of Node that has the bytes in memory',
    async (context) =>
      await onServer(sendAll, context, 'pull', [`--size=${megabytes * MiB}`, '--times=3', '--digest=none']),
  ),
];

async function rateOf(act: () => Promise<void>): Promise<Sample> {
  const start = performance.now();
  await act();
  return { value: (megabytes * 1000) / (performance.now() - start) };
}

function perSecond({ bytes, seconds }: LoadResult): Sample {
  return { value: bytes / MiB / seconds };
}

/** Does something with a new file, where the images of the other rows are. */
async function onFile(act: (file: FileHandle) => Promise<Sample>): Promise<Sample> {
  const folder = await temporaryFolder('bench');
  const file = await open(join(folder.path, 'file'), 'w+');
  try {
    return await act(file);
  } finally {
    await file.close();
    folder.remove();
  }
}

/** Measures a server in this process. */
async function onServer(
  listener: RequestListener,
  { generator }: OwnContext,
  command: string,
  args: readonly string[],
): Promise<Sample> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    return perSecond(await generator.run<LoadResult>(command, [`--address=${address}`, ...args]));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Answers as a registry does to a push. */
const takeAll: RequestListener = (incoming, answer) => {
  incoming.resume().once('end', () => {
    answer.writeHead(incoming.method === 'PUT' ? 201 : 202, { location: '/v2/upload' }).end();
  });
};

const sendAll: RequestListener = (_, answer) => {
  answer.writeHead(200, { 'content-length': megabytes * MiB });
  let sent = 0;
  const write = () => {
    while (sent < megabytes) {
      sent++;
      if (!answer.write(piece)) return;
    }
    answer.off('drain', write).end();
  };
  answer.on('drain', write);
  write();
};
