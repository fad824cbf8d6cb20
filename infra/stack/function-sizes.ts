import type { FunctionName } from '../gateway.ts';

/** Memory in MB, of which Lambda gives a processor in proportion, and the timeout in seconds. */
export interface Size {
  readonly memorySize: number;
  readonly timeout: number;
}

/** More than the 26 s after which the registry itself answers, and less than the 30 s of the gateway. */
const reading: Size = { memorySize: 512, timeout: 29 };

/** A commit completes after the gateway times out, and the client's retry finds it. */
const writing: Size = { memorySize: 1024, timeout: 120 };

/** Begins no delivery after half of it, and one takes a minute at most. */
const delivering: Size = { memorySize: 512, timeout: 120 };

/** Lambda's longest timeout. The next run continues what a timeout ends. */
const job: Size = { memorySize: 1024, timeout: 900 };

export const sizes: Readonly<Record<FunctionName, Size>> = {
  base: reading,
  extensions: reading,
  catalog: reading,
  search: reading,
  tags: reading,
  // Holds the manifests that it lists.
  referrers: { ...reading, memorySize: 1024 },
  blobs: reading,
  // A whole processor, for bcrypt.
  token: { memorySize: 1769, timeout: 29 },
  manifests: writing,
  uploads: writing,
  all: writing,
  'purge-uploads': job,
  reindex: job,
  gc: job,
  events: delivering,
  copy: job,
};

/** Seconds that a function may take. */
export function timeoutOf(name: FunctionName): number {
  return sizes[name].timeout;
}
