import type { Logger } from 'pino';
import { copyBlob } from '../cache/copy-blob.ts';
import type { WantedBlob } from '../cache/function-blobs.ts';
import type { CopyJob } from '../compose-function-cache.ts';
import { digestOrUndefined } from '../protocol/digests.ts';
import { isRepositoryName } from '../protocol/names.ts';
import type { Invocation } from './scheduled.ts';

/** Milliseconds before the end of an invocation at which it saves what it has, and lets the next one go on. */
const reserveMs = 60_000;

/** Invocations for one blob, of a quarter of an hour each. Lambda ends longer rows of a function that invokes itself. */
const maxTurns = 12;

/**
 * Copies a blob from its upstream to the bucket. That an upstream does not give it is a warning, and the next pull asks again.
 * @throws Error if the event names no blob of an upstream, or the bucket fails: Lambda tries again
 */
export async function copy(job: CopyJob, { event, remainingMs }: Invocation, log: Logger): Promise<void> {
  const wanted = parse(event);
  const source = wanted && job.sources.of(wanted.repository);
  if (wanted === undefined || source === undefined)
    throw new Error(
      'the event names no blob of a cache: it must be {"repository": …, "digest": …}, of a repository with an upstream',
    );
  const { turn, ...blob } = wanted;
  const result = await copyBlob(source, blob, job, () => remainingMs() < reserveMs);
  switch (result.kind) {
    case 'stored':
      log.info(blob, 'a blob is copied from its upstream');
      return;
    case 'left':
      log.info(blob, 'another invocation copies the blob, or has tried in vain just now');
      return;
    case 'failed':
      log.warn({ ...blob, err: result.error }, 'a blob could not be copied from its upstream');
      return;
    case 'unfinished':
      if (turn >= maxTurns || job.ask === undefined)
        log.warn({ ...blob, bytes: result.bytes }, 'a blob is copied in part; the next pull goes on with it');
      else await job.ask(blob, turn + 1);
  }
}

/** @returns undefined for what no function has sent */
function parse(event: unknown): (WantedBlob & { readonly turn: number }) | undefined {
  const { repository, digest: text, turn = 1 } = Object(event ?? {}) as Record<string, unknown>;
  const digest = typeof text === 'string' ? digestOrUndefined(text) : undefined;
  if (typeof repository !== 'string' || !isRepositoryName(repository) || digest === undefined)
    return undefined;
  return typeof turn === 'number' ? { repository, digest, turn } : undefined;
}
