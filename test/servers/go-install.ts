import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { atExit } from './cleanup.ts';
import { cacheFirst } from './go.ts';
import { cleanEnvironment } from './process.ts';

/** From nothing, the larger ones take two cores ten minutes. */
const INSTALLED_WITHIN_MINUTES = 45;

/**
 * Builds a program into a folder and returns its path. Rejects, in one line, where that cannot be done.
 * @param target its package, with the version of its module: `example.org/module/cmd/program@v1.2.3`
 */
export async function install(target: string, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  await goInstall(target, folder, cleanEnvironment({ GOBIN: folder, GOPROXY: await cacheFirst(folder) }));
  return join(folder, /\/(?<name>[^/@]+)@/.exec(target)?.groups?.['name'] ?? '');
}

/** A command of its own, since those of the tests are given up after four minutes. */
async function goInstall(target: string, cwd: string, env: NodeJS.ProcessEnv): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const settings = { cwd, env, timeout: INSTALLED_WITHIN_MINUTES * 60_000, maxBuffer: 64 * 1024 * 1024 };
    const child = execFile('go', ['install', target], settings, (error, _, errors) => {
      forget();
      if (error === null) resolve();
      else reject(new Error(whyNot(target, error.killed === true, errors), { cause: error }));
    });
    const forget = atExit(() => {
      child.kill('SIGKILL');
    });
  });
}

function whyNot(target: string, tookTooLong: boolean, errors: string): string {
  if (tookTooLong) return `${target} was not built within ${INSTALLED_WITHIN_MINUTES} minutes`;
  const lines = errors
    .trim()
    .split('\n')
    .filter((line) => !line.startsWith('go: downloading '));
  return `${target} cannot be installed: ${(lines.at(-1) ?? '').trim().replaceAll(`${target}: `, '')}`;
}
