import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

/** Memory that a worker should have: less would only move its limits to the system's. */
const bytesPerWorker = 256 * 1024 * 1024;

/**
 * As many workers as there are cores and as memory allows, at least one. Both are those of the machine, or of the control
 * group in which a container or a systemd unit runs (`CPUQuota=`, `MemoryMax=`).
 */
export async function defaultWorkers(): Promise<number> {
  // Undefined without Node's --permission, which may forbid further processes.
  const { permission } = process as Partial<NodeJS.Process>;
  if (permission?.has('child') === false) return 1;
  const limit = process.constrainedMemory();
  const memory = limit > 0 ? limit : Infinity;
  const cores = Math.min(availableParallelism(), await coresOfControlGroup());
  return Math.max(1, Math.min(cores, Math.floor(memory / bytesPerWorker)));
}

/**
 * Cores that the quota of this process's control group allows, rounded up; Infinity without one. The quota of a group holds
 * for the groups below it, so the smallest one counts.
 * @param root where /proc and /sys are
 */
export async function coresOfControlGroup(root = '/'): Promise<number> {
  const lines = (await read(join(root, 'proc/self/cgroup'))).split('\n');
  const quotas = await Promise.all(lines.flatMap((line) => quotasOf(root, line)));
  return Math.ceil(Math.min(Infinity, ...quotas));
}

/** @param line such as `0::/system.slice/stowage.service` (version 2) or `4:cpu,cpuacct:/docker/1f2e` (version 1) */
function quotasOf(root: string, line: string): Promise<number>[] {
  const [, controllers = '', path = '/'] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
  const isV2 = line.startsWith('0::');
  if (!isV2 && !controllers.split(',').includes('cpu')) return [];
  const mounts = isV2
    ? ['sys/fs/cgroup', 'sys/fs/cgroup/unified']
    : ['sys/fs/cgroup/cpu', `sys/fs/cgroup/${controllers}`];
  const quota = isV2 ? quotaV2 : quotaV1;
  return mounts.flatMap((mount) =>
    withParents(path).map(async (group) => await quota(join(root, mount, group))),
  );
}

/** In a container, the path may be that of the host, where the container sees its own group as the uppermost. */
function withParents(path: string): string[] {
  const segments = path.split('/').filter((segment) => segment !== '' && segment !== '..');
  return ['/', ...segments.map((_, index) => segments.slice(0, index + 1).join('/'))];
}

/** `cpu.max`: quota and period in microseconds, such as `150000 100000`, or `max 100000`. */
async function quotaV2(folder: string): Promise<number> {
  const [quota = '', period = ''] = (await read(join(folder, 'cpu.max'))).trim().split(' ');
  return ratio(quota, period);
}

/** A quota of -1 is none. */
async function quotaV1(folder: string): Promise<number> {
  const [quota, period] = await Promise.all(
    ['cpu.cfs_quota_us', 'cpu.cfs_period_us'].map(async (name) => (await read(join(folder, name))).trim()),
  );
  return ratio(quota, period);
}

function ratio(quota = '', period = ''): number {
  const cores = Number(quota) / Number(period);
  return quota !== '' && cores > 0 && Number.isFinite(cores) ? cores : Infinity;
}

/** Other systems have no such file. */
async function read(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '');
}
