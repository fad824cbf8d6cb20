import { readFile } from 'node:fs/promises';

/** The most memory in bytes that a running process has ever had resident (Linux). */
export async function peakMemory(pid: number): Promise<number> {
  const [, kilobytes] = /VmHWM:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}
