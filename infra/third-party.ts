import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';
import { sourceOf } from './cold-start/core-first.ts';

/** The fields used of a package.json. */
interface Package {
  readonly name: string;
  readonly version: string;
  /** SPDX identifier. */
  readonly license?: string;
  readonly author?: string | { readonly name: string };
}

interface BundledPackage extends Package {
  /** The bundles that contain code of it. */
  readonly bundles: Set<string>;
  /** Its licence and notices. */
  readonly text: string;
}

/** Names of files with a licence or notices. */
const isLegal = /^(?:licen[cs]e|copying|copyright|notice)(?:[.-][\w.-]+)?$/i;

/**
 * Lists the bundled packages with their licences, each text once. Most licences must be distributed with the code.
 * @param root of the relative paths in the metafiles
 * @throws Error naming a package that has no licence text and whose licence is not known here
 */
export async function thirdPartyLicenses(root: string, metafiles: readonly Metafile[]): Promise<string> {
  const bundlesOf = new Map<string, Set<string>>();
  for (const { outputs } of metafiles)
    for (const [output, { inputs }] of Object.entries(outputs))
      for (const input of Object.keys(inputs)) {
        const folder = packageFolder(sourceOf(input));
        if (folder === undefined) continue;
        const bundles = bundlesOf.get(folder) ?? new Set();
        bundlesOf.set(folder, bundles.add(bundleName(output)));
      }
  const used = await Promise.all(
    [...bundlesOf].sort().map(async ([folder, bundles]) => await readPackage(root, folder, bundles)),
  );
  return format(used);
}

/** `node_modules/a/node_modules/@b/c` of a file in it; undefined for a source file of this project. */
function packageFolder(input: string): string | undefined {
  return /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(input)?.[0];
}

/** `functions` or `stowage`. */
function bundleName(output: string): string {
  const [, name = ''] = /^dist\/([^/.]+)/.exec(output) ?? [];
  return name;
}

async function readPackage(root: string, folder: string, bundles: Set<string>): Promise<BundledPackage> {
  const own = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8')) as Package;
  const entries = await readdir(join(root, folder), { withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && isLegal.test(entry.name)).map(({ name }) => name);
  const texts = await Promise.all(files.sort().map(async (file) => await textOf(join(root, folder, file))));
  return { ...own, bundles, text: texts.join('\n\n') || (await standardText(root, own)) };
}

async function textOf(path: string): Promise<string> {
  return (await readFile(path, 'utf8')).replaceAll('\r\n', '\n').trim();
}

/** The text for a package that only names its licence. */
async function standardText(root: string, { name, license, author }: Package): Promise<string> {
  // The licence of this project.
  if (license === 'Apache-2.0') return await textOf(join(root, 'LICENSE'));
  const holder = typeof author === 'string' ? author : (author?.name ?? `the authors of ${name}`);
  if (license === 'MIT') return `MIT License\n\nCopyright (c) ${holder}\n\n${mit}`;
  if (license === 'MIT-0') return `MIT No Attribution\n\nCopyright (c) ${holder}\n\n${mitWithoutConditions}`;
  throw new Error(
    `${name} has no licence text (${license ?? 'no licence is named'}): add it in infra/third-party.ts`,
  );
}

const mit = `Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.`;

/** MIT-0 has the same text without conditions. */
const mitWithoutConditions = mit.replace(/, subject to the following conditions:\n\n.*?\n\n/s, '.\n\n');

function format(used: readonly BundledPackage[]): string {
  const byText = Map.groupBy(used, ({ text }) => text);
  const list = used.map(
    (one) => `${titleOf(one)} (${one.license ?? 'see its text'}), in ${[...one.bundles].sort().join(', ')}`,
  );
  return [
    'The bundles beside this file contain these packages, under the licences that follow.',
    ...[...new Set(list)].sort(),
    ...[...byText].map(([text, packages]) => {
      const titles = [...new Set(packages.map(titleOf))].join(', ');
      return `\n${'-'.repeat(80)}\n${titles}\n\n${text}`;
    }),
    '',
  ].join('\n');
}

function titleOf({ name, version }: Package): string {
  return `${name} ${version}`;
}
