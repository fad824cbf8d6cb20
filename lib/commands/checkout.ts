import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The project's folder, two levels above both the folder of this file and its bundle in dist/stowage/. */
export const root = join(import.meta.dirname, '../..');

/** @param why the command needs it, such as "it builds the functions from" @throws Error */
export function assertCheckout(why: string, remedy: string): void {
  if (!existsSync(join(root, 'infra/bundle.ts')))
    throw new Error(`${why} a checkout of the project, and this is none; ${remedy}`);
}

/**
 * Loads a program of the checkout, which no bundle has.
 * @param path such as `infra/deploy/deploy.ts`
 * @throws Error where there is no checkout, or its packages are missing
 */
export async function loadFromCheckout(path: string): Promise<unknown> {
  assertCheckout('it needs', 'clone the repository, run npm ci there, and run it with npm run');
  if (!existsSync(join(root, 'node_modules/serverless')))
    throw new Error(`the packages of the project are missing; run npm ci in ${root}`);
  return await import(pathToFileURL(join(root, path)).href);
}
