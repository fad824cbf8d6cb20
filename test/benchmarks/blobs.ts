/*
 * `npm run bench`: pushes and pulls one large blob, by turns with distribution (docker-registry) on the same disk in the
 * same run. Machines are noisy: what counts is the ratio. Memory is the most each process ever had resident.
 */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { withDigest } from '../functions/client.ts';
import { distribution2 } from '../servers/distribution.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { peakMemory } from '../servers/memory.ts';
import { serve } from '../servers/stowage.ts';

const [megabytes = '512'] = process.argv.slice(2);
const help = megabytes === '--help';
if (help || !/^[1-9]\d{0,5}$/.test(megabytes)) {
  console[help ? 'log' : 'error']('Usage: npm run bench -- [MiB of the blob, such as 512]');
  process.exit(help ? 0 : 2);
}
const size = Number(megabytes) * 1024 * 1024;
const rounds = 3;

const folder = await temporaryFolder('bench');
const registries = {
  stowage: await serve(join(folder.path, 'stowage'), { REGISTRY_LOG_LEVEL: 'error' }),
  distribution: await distribution2.start(join(folder.path, 'distribution')),
};

const seconds = {
  push: { stowage: [] as number[], distribution: [] as number[] },
  pull: { stowage: [] as number[], distribution: [] as number[] },
};
for (let round = 0; round < rounds; round++)
  for (const name of ['stowage', 'distribution'] as const) {
    const { address } = registries[name];
    const repository = `bench/round-${round}`;
    const start = performance.now();
    const digest = await push(`http://${address}`, repository);
    seconds.push[name].push((performance.now() - start) / 1000);
    const middle = performance.now();
    await pull(`http://${address}/v2/${repository}/blobs/${digest}`);
    seconds.pull[name].push((performance.now() - middle) / 1000);
  }

for (const [what, times] of Object.entries(seconds)) {
  const [ours, theirs] = [Math.min(...times.stowage), Math.min(...times.distribution)];
  console.log(
    `${what} of ${size / 1024 ** 2} MiB: ${ours.toFixed(2)} s, distribution ${theirs.toFixed(2)} s, ratio ${(ours / theirs).toFixed(2)}`,
  );
}
for (const [name, { pid }] of Object.entries(registries))
  console.log(`most memory of ${name}: ${Math.round((await peakMemory(pid)) / 1e6)} MB`);
await Promise.all(
  Object.values(registries).map(async (registry) => {
    await registry.stop();
  }),
);
folder.remove();

/** As docker does: one PATCH without a length, then an empty PUT. @returns the digest */
async function push(base: string, repository: string): Promise<string> {
  const begun = await fetch(`${base}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  const patch = request(new URL(begun.headers.get('location') ?? '', base), {
    method: 'PATCH',
    agent: false,
  });
  const hash = createHash('sha256');
  const piece = randomBytes(1024 * 1024);
  for (let sent = 0; sent < size; sent += piece.length) {
    const bytes = Buffer.from(piece);
    bytes.writeUInt32LE(sent / piece.length);
    hash.update(bytes);
    if (!patch.write(bytes)) await once(patch, 'drain');
  }
  patch.end();
  const [answer] = (await once(patch, 'response')) as [IncomingMessage];
  answer.resume();
  const digest = `sha256:${hash.digest('hex')}`;
  const put = await fetch(withDigest(new URL(answer.headers.location ?? '', base).href, digest), {
    method: 'PUT',
  });
  if (put.status !== 201) throw new Error(`the push ended with ${put.status}`);
  return digest;
}

async function pull(url: string): Promise<void> {
  const response = await fetch(url);
  let received = 0;
  for await (const bytes of response.body ?? []) received += (bytes as Uint8Array).byteLength;
  if (received !== size) throw new Error(`the pull ended after ${received} bytes`);
}
