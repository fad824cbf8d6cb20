import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { atExit } from './cleanup.ts';
import { cacheFirst } from './go.ts';
import { cleanEnvironment } from './process.ts';

/** From nothing, the larger ones take two cores ten minutes. */
const INSTALLED_WITHIN_MINUTES = 45;

/** Programs of a module that `go install` refuses, since its go.mod excludes or replaces others. */
export interface GoModule {
  /** With its version: `example.org/module@v1.2.3` */
  readonly module: string;
  /** The folders of its programs in it: `./cmd/program` */
  readonly programs: readonly [string, ...string[]];
}

/**
 * Builds a program into a folder and returns its path. Rejects, in one line, where that cannot be done.
 * @param target its package, with the version of its module: `example.org/module/cmd/program@v1.2.3`; of the programs of a
 * module all are built, and the path is the first one's
 */
export async function install(target: string | GoModule, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const env = cleanEnvironment({ GOBIN: folder, GOPROXY: await cacheFirst(folder) });
  if (typeof target === 'string') {
    await go(target, ['install', target], folder, env);
    return join(folder, basename(target.replace(/@.*/, '')));
  }
  const { module, programs } = target;
  // In Go's cache it is its own main module, and its go.mod holds as it is. Its vendor folder is not published.
  await go(module, ['mod', 'download', module], folder, env);
  const source = (await go(module, ['list', '-m', '-f', '{{.Dir}}', module], folder, env)).trim();
  await go(module, ['build', '-C', source, '-mod=readonly', '-o', folder, ...programs], folder, env);
  return join(folder, basename(programs[0]));
}

/** Not the command of the tests, which times out after four minutes. Returns the output. */
async function go(
  target: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<string> {
  return await new Promise<string>((resolve, reject) => {
    const settings = { cwd, env, timeout: INSTALLED_WITHIN_MINUTES * 60_000, maxBuffer: 64 * 1024 * 1024 };
    const child = execFile('go', args, settings, (error, output, errors) => {
      forget();
      if (error === null) resolve(output);
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
