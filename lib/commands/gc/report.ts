import { formatDuration } from '../../config/durations.ts';
import type { CollectionReport, Waiting } from '../../maintenance/collection/collection.ts';
import { summaryOf } from '../../maintenance/collection/report.ts';
import { size } from '../../protocol/sizes.ts';
import { count } from '../command.ts';
import { jsonOfGarbage, printGarbage, type Printed } from './garbage.ts';

export function jsonOfReport(report: CollectionReport) {
  const { garbage } = report;
  return { ...summaryOf(report), found: garbage === undefined ? null : jsonOfGarbage(garbage) };
}

/** Says what was deleted, what was left and why, what is condemned, and when the next run is due. */
export function printReport(report: CollectionReport, options: Printed): void {
  printDeleted(report);
  const { garbage, condemned, waiting, completed } = report;
  const isWaiting = waiting.some(({ mark }) => mark === condemned?.id);
  if (garbage !== undefined) printGarbage(garbage, isWaiting ? 'condemned' : 'found', options);
  if (condemned !== undefined && condemned.left > 0)
    console.log(
      `${count(condemned.left, 'blob')} had no room in the lists; the next collection condemns them`,
    );
  for (const one of waiting) console.log(nextOf(one));
  if (garbage !== undefined && condemned === undefined) console.log('Nothing is to be deleted.');
  else if (waiting.length === 0 && completed.length > 0) console.log('Nothing else is due.');
}

function printDeleted({ deleted, left, completed }: CollectionReport): void {
  const { blobs, manifests, links, repositories, rescued } = deleted;
  if (completed.length + blobs.number + links + rescued.size > 0)
    console.log(
      `deleted: ${size(blobs.bytes)} in ${count(blobs.number, 'blob')}, with ${count(manifests, 'manifest')} and ` +
        `${count(links, 'link')} of ${count(repositories.size, 'repository', 'repositories')}`,
    );
  const reasons = [
    [left.needed, 'that something needs again'],
    [left.renewed, 'that was pushed or mounted again'],
    [rescued.size, 'that a push has used since'],
    [left.held, 'of a repository that is damaged'],
  ] as const;
  for (const [number, reason] of reasons)
    if (number > 0) console.log(`left, though condemned: ${count(number, 'blob')} ${reason}`);
}

function nextOf({ next, written, from }: Waiting): string {
  const inMs = Math.max(0, from.getTime() - Date.now());
  // Not a second too early.
  const when = `${new Date(Math.ceil(from.getTime() / 1000) * 1000).toISOString().replace('.000Z', 'Z')} (in ${formatDuration(Math.ceil(inMs / 1000) * 1000)})`;
  const what = `what was condemned at ${written.toISOString().replace(/\.\d+Z$/, 'Z')}`;
  return next === 'deletions'
    ? `The bytes of ${what} may go from ${when}: run stowage gc again then. Until then nothing is deleted.`
    : `All that was to go of ${what} is deleted. Its mark can be removed from ${when}, by the next run.`;
}
