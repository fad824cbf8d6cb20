import { readFile } from 'node:fs/promises';

/** The most memory in bytes that a running process has ever had resident (Linux). */
export async function peakMemory(pid: number): Promise<number> {
  return await fieldOf(pid, 'VmHWM');
}

/** The memory in bytes that a running process has resident now (Linux). */
export async function memory(pid: number): Promise<number> {
  return await fieldOf(pid, 'VmRSS');
}

async function fieldOf(pid: number, field: string): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const [, kilobytes] = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status) ?? [];
  return Number(kilobytes) * 1024;
}
