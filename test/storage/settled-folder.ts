import callbacks from 'node:fs';
import fs from 'node:fs/promises';
import { mock } from 'node:test';

/** A folder that is older is remembered, whatever the resolution of its time. */
const settledMs = 2001;

/** As if all folders were on ext4. The mocks of this file are the caller's to restore. */
export function believeLocal(): void {
  believe(0xef53);
}

/** As if all folders were on NFS. */
export function believeRemote(): void {
  believe(0x6969);
}

function believe(type: number): void {
  const statfs = (_: string, done: (error: null, stats: { readonly type: number }) => void) => {
    done(null, { type });
  };
  mock.method(callbacks, 'statfs', statfs);
}

/** As if all that was changed in a folder until now had been changed long ago. */
export async function settle(path: string): Promise<void> {
  await clockAdvanced(path);
  const now = Date.now.bind(Date);
  mock.method(Date, 'now', () => now() + settledMs);
}

/** Waits until the file system's clock has advanced: the kernel's may have a resolution of some milliseconds. */
export async function clockAdvanced(path: string): Promise<void> {
  const file = `${path}.clock`;
  const touched = async () => {
    await fs.writeFile(file, 'x');
    return (await fs.stat(file, { bigint: true })).ctimeNs;
  };
  for (const start = await touched(); (await touched()) === start;);
  await fs.rm(file);
}
