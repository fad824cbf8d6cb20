import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { coresOfControlGroup, defaultWorkers } from '../../lib/server/workers/available-cores.ts';
import { temporaryFolder } from '../servers/folder.ts';

const folder = await temporaryFolder('available-cores');

after(() => {
  folder.remove();
});

let roots = 0;

/** A folder with these files, as the kernel has them below `/`. */
async function rootWith(files: Readonly<Record<string, string>>): Promise<string> {
  const root = join(folder.path, String(roots++));
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), `${content}\n`);
  }
  return root;
}

const group = 'proc/self/cgroup';
const v2 = 'sys/fs/cgroup';

describe('the cores of a control group', () => {
  for (const [what, files, cores] of [
    ['none without control groups', {}, Infinity],
    ['none without a quota', { [group]: '0::/', [`${v2}/cpu.max`]: 'max 100000' }, Infinity],
    ['a quota of a container', { [group]: '0::/', [`${v2}/cpu.max`]: '200000 100000' }, 2],
    ['a part of a core, as one', { [group]: '0::/', [`${v2}/cpu.max`]: '25000 100000' }, 1],
    ['one and a half, as two', { [group]: '0::/', [`${v2}/cpu.max`]: '150000 100000' }, 2],
    [
      'CPUQuota= of a systemd unit',
      {
        [group]: '0::/system.slice/stowage.service',
        [`${v2}/system.slice/stowage.service/cpu.max`]: '300000 100000',
      },
      3,
    ],
    [
      'the smaller quota of a slice above',
      {
        [group]: '0::/small.slice/stowage.service',
        [`${v2}/small.slice/cpu.max`]: '100000 100000',
        [`${v2}/small.slice/stowage.service/cpu.max`]: '300000 100000',
      },
      1,
    ],
    [
      'a quota of version 1',
      {
        [group]: '5:memory:/docker/1f2e\n4:cpu,cpuacct:/docker/1f2e\n0::/',
        'sys/fs/cgroup/cpu,cpuacct/docker/1f2e/cpu.cfs_quota_us': '350000',
        'sys/fs/cgroup/cpu,cpuacct/docker/1f2e/cpu.cfs_period_us': '100000',
      },
      4,
    ],
    [
      'a quota of version 1 in a container, whose path is that of the host',
      {
        [group]: '4:cpu:/docker/1f2e',
        'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '50000',
        'sys/fs/cgroup/cpu/cpu.cfs_period_us': '50000',
      },
      1,
    ],
    [
      'no quota of version 1',
      {
        [group]: '4:cpu:/',
        'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1',
        'sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000',
      },
      Infinity,
    ],
  ] as const)
    it(`the cores of a control group are ${what}`, async () => {
      assert.equal(await coresOfControlGroup(await rootWith(files)), cores);
    });

  it('a server has at least one worker by default', async () => {
    assert.ok((await defaultWorkers()) >= 1);
  });
});
