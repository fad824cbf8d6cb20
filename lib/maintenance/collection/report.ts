import type { CollectionReport } from './collection.ts';

/** What a run has done, as numbers, and the marks that wait. */
export function summaryOf({ condemned, deleted, left, completed, waiting }: CollectionReport) {
  return {
    deleted: {
      bytes: deleted.blobs.bytes,
      blobs: deleted.blobs.number,
      manifests: deleted.manifests,
      links: deleted.links,
      repositories: deleted.repositories.size,
    },
    left: { ...left, rescued: deleted.rescued.size },
    completed,
    condemned: condemned === undefined ? null : { ...condemned },
    waiting,
  };
}
