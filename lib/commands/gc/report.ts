import { formatDuration } from '../../config/durations.ts';
import { summaryOf, type CollectionReport, type Waiting } from '../../maintenance/collection/report.ts';
import { size } from '../../protocol/sizes.ts';
import { count } from '../command.ts';
import { jsonOfGarbage, noSpaceFreed, printGarbage, type Printed } from './garbage.ts';

/** What programs are told of a run. @param onlyLinks whether bytes stay */
export function jsonOfReport(report: CollectionReport, onlyLinks: boolean) {
  const { garbage } = report;
  return { onlyLinks, ...summaryOf(report), found: garbage === undefined ? null : jsonOfGarbage(garbage) };
}

/** Says what was deleted, what was left and why, what is condemned, and when the next run is due. */
export function printReport(report: CollectionReport, options: Printed): void {
  const { onlyLinks } = options;
  printGivenUp(report, onlyLinks);
  printDeleted(report, onlyLinks);
  const { garbage, condemned, waiting, completed } = report;
  const isWaiting = waiting.some(({ mark }) => mark === condemned?.id);
  const sum = isWaiting ? 'condemned' : 'found';
  if (garbage !== undefined) printGarbage(garbage, sum, options);
  for (const one of waiting) console.log(nextOf(one));
  if (garbage !== undefined && condemned === undefined) console.log('Nothing is to be deleted.');
  else if (waiting.length === 0 && completed.length > 0) console.log('Nothing else is due.');
  if (onlyLinks) console.log(noSpaceFreed(garbage));
}

function printGivenUp({ givenUp }: CollectionReport, onlyLinks: boolean): void {
  for (const mark of givenUp)
    console.log(
      onlyLinks
        ? `The mark ${mark}, by which bytes were to go, is given up: this run is without --exclusive.`
        : `The mark ${mark}, by which only links were to go, is given up: this run is with --exclusive, and looks anew.`,
    );
}

function printDeleted(
  { deleted, left, completed, linksWrittenAgain }: CollectionReport,
  onlyLinks: boolean,
): void {
  const { blobs, manifests, links, repositories, rescued } = deleted;
  const bytes = onlyLinks ? '' : `${size(blobs.bytes)} in ${count(blobs.number, 'blob')}, with `;
  if (completed.length + blobs.number + links + rescued.size > 0)
    console.log(
      `deleted: ${bytes}${count(manifests, 'manifest')} and ` +
        `${count(links, 'link')} of ${count(repositories.size, 'repository', 'repositories')}`,
    );
  if (linksWrittenAgain > 0)
    console.log(
      `${count(linksWrittenAgain, 'link')} written again, which a push through another registry needs`,
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

function nextOf({ next, onlyLinks, written, from }: Waiting): string {
  const inMs = Math.max(0, from.getTime() - Date.now());
  // Not a second too early.
  const when = `${new Date(Math.ceil(from.getTime() / 1000) * 1000).toISOString().replace('.000Z', 'Z')} (in ${formatDuration(Math.ceil(inMs / 1000) * 1000)})`;
  const what = `what was condemned at ${written.toISOString().replace(/\.\d+Z$/, 'Z')}`;
  return next === 'deletions'
    ? `The ${onlyLinks ? 'links' : 'bytes'} of ${what} may go from ${when}: run stowage gc again then. Until then nothing is deleted.`
    : `Nothing more is deleted of ${what}. Its mark can be removed from ${when}, by the next run.`;
}
