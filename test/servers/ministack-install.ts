import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cleanEnvironment, command } from './process.ts';

/** What is installed, each in one version: https://pip.pypa.io/en/stable/reference/requirements-file-format/ */
const requirements = join(import.meta.dirname, 'ministack-requirements.txt');

const [, version = ''] = /^ministack==(.+)$/m.exec(readFileSync(requirements, 'utf8')) ?? [];

/** The name and version, as messages have it. */
export const ministackName = `MiniStack ${version}`;

/** A virtual environment of Python's, which goes with the packages of npm. */
const folder = join(import.meta.dirname, '../../node_modules/.cache/stowage-servers', `ministack-${version}`);

/** The program. */
export const ministackProgram = join(folder, 'bin/ministack');

/** Why it cannot be installed with the Python of this machine, or nothing when it can. */
export function whyNotPython(): string | undefined {
  const check = 'import ensurepip, sys, venv; assert sys.version_info >= (3, 10), sys.version';
  const { error, status, stderr } = spawnSync('python3', ['-c', check], {
    cwd: tmpdir(),
    env: cleanEnvironment(),
    encoding: 'utf8',
  });
  if (error) return 'needs Python 3.10 or newer; there is no python3 on the PATH';
  if (status === 0) return undefined;
  return `needs Python 3.10 or newer with venv; python3 says ${stderr.trim().split('\n').at(-1) ?? ''}`;
}

/** Installs it unless it is there. Rejects where that cannot be done. */
export async function installMinistack(): Promise<void> {
  if (existsSync(ministackProgram)) return;
  rmSync(folder, { recursive: true, force: true });
  // In the project's folder Python would find modules of its own.
  const options = { cwd: tmpdir() };
  const pip = ['-m', 'pip', '--disable-pip-version-check', '--quiet', 'install', '--no-deps'];
  try {
    await command('python3', ['-m', 'venv', folder], options);
    await command(join(folder, 'bin/python'), [...pip, '--requirement', requirements], options);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}
