/* `node infra/image/assemble.ts FOLDER` lays out there what the image adds to its base, after `npm run build`. */
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { arch } from 'node:os';
import { join } from 'node:path';
import { thirdPartyFile } from '../gateway.ts';

const root = join(import.meta.dirname, '../..');

/** Of npm: its Node is the one of package-lock.json. */
const nodePackage = join(root, 'node_modules', `node-linux-${arch()}`);

/** Where images and the list of repositories are, in the original's image as well. The Dockerfile gives them to its user. */
const dataFolders = ['var/lib/registry', 'opt/registry'];

const [output] = process.argv.slice(2);
if (output === undefined) throw new Error('name the folder to write to');
await assemble(output);

async function assemble(folder: string): Promise<void> {
  const [bin, lib] = [join(folder, 'usr/local/bin'), join(folder, 'usr/local/lib/stowage')];
  const licences = join(folder, 'usr/local/share/doc');
  for (const path of [bin, join(lib, 'stowage'), ...dataFolders.map((one) => join(folder, one))])
    await mkdir(path, { recursive: true });
  await cp(join(nodePackage, 'bin/node'), join(bin, 'node'));
  await copyBundle(lib);
  await symlink('../lib/stowage/stowage.mjs', join(bin, 'stowage'));
  await cp(join(nodePackage, 'LICENSE'), join(licences, 'node/LICENSE'));
  await cp(join(root, 'LICENSE'), join(licences, 'stowage/LICENSE'));
  await cp(join(root, thirdPartyFile), join(licences, 'stowage/THIRD-PARTY-LICENSES.txt'));
}

/** The command with its chunks, without the source maps, which contain the sources. */
async function copyBundle(folder: string): Promise<void> {
  const program = await readFile(join(root, 'dist/stowage.mjs'), 'utf8');
  // The base has no /usr/bin/env.
  const started = program.replace(/^#!.*/, '#!/usr/local/bin/node');
  await writeFile(join(folder, 'stowage.mjs'), started, { mode: 0o755 });
  const chunks = await readdir(join(root, 'dist/stowage'));
  for (const chunk of chunks.filter((name) => name.endsWith('.mjs')))
    await cp(join(root, 'dist/stowage', chunk), join(folder, 'stowage', chunk));
}
