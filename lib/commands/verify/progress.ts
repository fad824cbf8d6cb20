import type { VerifyCounts } from '../../maintenance/verify/inspection.ts';
import { count } from '../command.ts';
import { size } from '../../protocol/sizes.ts';

/** How often progress is shown: on a terminal, in one line, and elsewhere, in a line each. */
const terminalMs = 1_000;
const logMs = 60_000;

/** Shows on standard error what has been checked so far. */
export function showProgress(counts: VerifyCounts): { clear: () => void; stop: () => void } {
  const { stderr } = process;
  const show = () => {
    const line = `checked ${checked(counts)}`;
    if (stderr.isTTY) stderr.write(`\r\u001b[K${line.slice(0, stderr.columns - 1)}`);
    else console.error(line);
  };
  const clear = () => {
    if (stderr.isTTY) stderr.write('\r\u001b[K');
  };
  const timer = setInterval(show, stderr.isTTY ? terminalMs : logMs);
  return {
    clear,
    stop: () => {
      clearInterval(timer);
      clear();
    },
  };
}

/** Such as "3 blobs (3 hashed, 1.2 MB), 1 repository with 2 manifests". */
export function checked(counts: VerifyCounts): string {
  const { blobs, hashed, bytes, repositories, manifests, tags, referrers, uploads } = counts;
  const inRepositories = [
    count(manifests, 'manifest'),
    count(tags, 'tag'),
    count(referrers, 'referrer'),
  ].join(', ');
  return [
    `${count(blobs, 'blob')} (${hashed} hashed, ${size(bytes)})`,
    `${count(repositories, 'repository', 'repositories')} with ${inRepositories}`,
    count(uploads, 'upload'),
  ].join('; ');
}
