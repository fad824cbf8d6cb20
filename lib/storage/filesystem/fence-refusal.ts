import fs from 'node:fs/promises';
import { relative, sep } from 'node:path';

import { ignoring, notFoundCodes } from '../file-errors.ts';
import { unlimitedMark } from './fence.ts';
import type { Folder } from './folder.ts';
import { isLocalType } from './local-file-systems.ts';
import { privateNames } from './mounts.ts';
import { stagingParent } from './staging-names.ts';

/**
 * Why changes of a folder cannot be limited to a time, as a sentence; undefined if they can. Other machines may see a folder as it was a
 * while ago, and nothing can be renamed from one mount to another.
 */
export async function whyUnfenced(folder: Folder): Promise<string | undefined> {
  const { type } = await fs.statfs(stagingParent(folder));
  if (!isLocalType(type))
    return (
      `${folder.root} is on a file system of the type 0x${type.toString(16)}, which is not known to show all processes the same at once, ` +
      'as NFS does not; use a local one, such as ext4 or XFS'
    );
  const other = await anotherMount(folder);
  if (other !== undefined)
    return `${other} is on another mount than ${stagingParent(folder)}; move it to the same one, or use a bucket`;
  const key = await ignoring(notFoundCodes, fs.readFile(unlimitedMark(folder), 'utf8'));
  if (key === undefined) return undefined;
  return (
    `a process has written ${key.trim()} to another mount than that of ${stagingParent(folder)}; let all processes have the whole of ` +
    `${folder.root} as one mount, restart them, and delete ${unlimitedMark(folder)}`
  );
}

async function anotherMount(folder: Folder): Promise<string | undefined> {
  const [root, other] = folder.mounts.all;
  if (root?.temporary !== stagingParent(folder)) return folder.root;
  if (other !== undefined) return other.top;
  const top = await fs.realpath(folder.root);
  const points = mountPoints(await fs.readFile('/proc/self/mountinfo', 'utf8').catch(() => ''));
  return points.find((point) => {
    const [first = '', second] = relative(top, point).split(sep);
    if (first === '' || first === '..') return false;
    return !privateNames.has(first) || (first === '.tmp' && second === undefined);
  });
}

/** The fifth field of each line; blanks and the like are octal (proc_pid_mountinfo(5)). */
function mountPoints(mountinfo: string): string[] {
  return mountinfo
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point !== '')
    .map((point) =>
      point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))),
    );
}
