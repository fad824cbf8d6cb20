/*
 * `node --expose-gc test/benchmarks/manifests.ts [MiB [readers]]`: what it costs to read manifests that are made to cost much, by
 * each who reads them: milliseconds of the processor, and the megabytes by which the process grows (Linux).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { RegistryError } from '../../lib/protocol/errors.ts';
import { defaultChild, parseManifest, storedMediaType } from '../../lib/protocol/manifests.ts';
import { readDescriptor, readIndexed, readReferrer } from '../../lib/protocol/referrers.ts';
import { withSignatures } from '../../lib/protocol/schema1.ts';
import { hostileManifests } from '../protocol/hostile-manifests.ts';

const [megabytes = '4', ...chosen] = process.argv.slice(2);
const size = Number(megabytes) * 1024 * 1024;
const digest = parseDigest(`sha256:${'a'.repeat(64)}`);
const signature = Buffer.from('{"header":{"jwk":{"kid":"A"},"alg":"E"},"signature":"a","protected":"b"}');

const readers: Readonly<Record<string, (bytes: Buffer) => unknown>> = {
  parseManifest: (bytes) => parseManifest(bytes, undefined),
  storedMediaType,
  defaultChild,
  readReferrer: (bytes) => readReferrer(bytes, digest),
  readIndexed,
  readDescriptor: (bytes) => readDescriptor(bytes, digest),
  withSignatures: (bytes) => withSignatures(bytes, [signature]),
};

for (const [what, make] of Object.entries(hostileManifests(size))) {
  const bytes = Buffer.from(make());
  for (const [reader, read] of Object.entries(readers))
    if (chosen.length === 0 || chosen.includes(reader))
      console.log(JSON.stringify({ what, reader, ...costOf(() => read(bytes)) }));
}

function costOf(read: () => unknown): { answer: string; milliseconds: number; megabytes: number } {
  globalThis.gc?.();
  // From here on, the peak is that of this reader.
  writeFileSync('/proc/self/clear_refs', '5');
  const before = peak();
  const start = process.threadCpuUsage();
  const answer = answerOf(read);
  const { user, system } = process.threadCpuUsage(start);
  return {
    answer,
    milliseconds: Math.round((user + system) / 1000),
    megabytes: Math.round((peak() - before) / 1e6),
  };
}

function answerOf(read: () => unknown): string {
  try {
    read();
    return 'read';
  } catch (error) {
    if (error instanceof RegistryError) return error.message;
    throw error;
  }
}

/** Bytes. */
function peak(): number {
  const [, kilobytes] = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}
