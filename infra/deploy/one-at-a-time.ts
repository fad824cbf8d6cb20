import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { root } from '../../lib/commands/checkout.ts';
import { DeployError } from './deploy-error.ts';

/** Has the id of the process that packages or deploys. */
const lock = join(root, 'node_modules/.cache/stowage-deploy.lock');

/** Others package within seconds, and deploy within minutes. */
const longestWaitMs = 15 * 60_000;

/**
 * Waits until no other process of this checkout is in here: osls packages and
 * deploys from one folder of it, `.serverless`, whatever the stage.
 * @throws DeployError if that takes too long
 */
export async function oneAtATime<T>(run: () => Promise<T>): Promise<T> {
  await mkdir(dirname(lock), { recursive: true });
  const deadline = Date.now() + longestWaitMs;
  while (!(await isTaken())) {
    const owner = Number(await readFile(lock, 'utf8').catch(() => ''));
    // Empty while the other writes it.
    if (owner > 0 && !isAlive(owner)) await rm(lock, { force: true });
    else if (Date.now() > deadline)
      throw new DeployError(
        `Another deployment runs from this checkout (process ${owner}). Wait until it is over; if there is none, remove ${lock}.`,
      );
    else await delay(200);
  }
  try {
    return await run();
  } finally {
    await rm(lock, { force: true });
  }
}

async function isTaken(): Promise<boolean> {
  try {
    await writeFile(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
