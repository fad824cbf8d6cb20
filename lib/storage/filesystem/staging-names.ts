import { join } from 'node:path';

/*
 * What the folders of fences are called, see fencing.ts.
 */

/** The folder of all staging folders: all processes must agree on it, so there is no other. */
export function stagingParent({ root }: { readonly root: string }): string {
  return join(root, '.tmp');
}

/** A commit's. Besides its number it has random digits: once removed, it never comes back. */
const commitName = /^fence-(\d+)-[0-9a-f]{8}$/;

/** The number of a staging folder for commits; undefined for any other name. */
export function fenceNumber(name: string): number | undefined {
  const [, number] = commitName.exec(name) ?? [];
  return number === undefined ? undefined : Number(number);
}

/** The name of a file beside them which says that a change was not limited, with its key. */
export const unlimitedName = 'unlimited';
