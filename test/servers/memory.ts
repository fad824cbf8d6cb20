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

/**
 * The memory in bytes of a process and its children, in which shared pages count once: the sum of their proportional set sizes
 * (Linux).
 */
export async function treeMemory(pid: number): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  const pids = [pid, ...children.split(' ').filter(Boolean).map(Number)];
  const sizes = pids.map(async (one) => {
    // It may have ended meanwhile.
    const rollup = await readFile(`/proc/${one}/smaps_rollup`, 'utf8').catch(() => '');
    return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) * 1024;
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** Watches the memory of a process and its children. @returns a function that ends that, and returns the most there was */
export function watchTreeMemory(pid: number): () => number {
  let peak = 0;
  const timer = setInterval(() => {
    void treeMemory(pid).then((now) => (peak = Math.max(peak, now)));
  }, 200);
  return () => {
    clearInterval(timer);
    return peak;
  };
}
