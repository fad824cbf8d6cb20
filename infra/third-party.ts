import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';

/*
 * The licences of the packages whose code is in the bundles: most ask that their text goes wherever that code goes.
 */

/** A package as it is named by what it says of itself. */
interface Package {
  readonly name: string;
  readonly version: string;
  /** SPDX identifier. */
  readonly license?: string;
  readonly author?: string | { readonly name: string };
}

interface Used extends Package {
  /** Which of the bundles have code of it. */
  readonly bundles: Set<string>;
  /** All that it says of its licence. */
  readonly text: string;
}

/** Files with a licence, or with notices that go with it. */
const isLegal = /^(?:licen[cs]e|copying|copyright|notice)(?:[.-][\w.-]+)?$/i;

/**
 * Lists the packages of some bundles, in which of these they are, and their licences; each text once.
 * @param root the folder that paths in the metafiles are relative to
 * @throws Error naming a package that is under no licence known here and has no text of one
 */
export async function thirdPartyLicenses(root: string, metafiles: readonly Metafile[]): Promise<string> {
  const bundlesOf = new Map<string, Set<string>>();
  for (const { outputs } of metafiles)
    for (const [output, { inputs }] of Object.entries(outputs))
      for (const input of Object.keys(inputs)) {
        const folder = packageFolder(input);
        if (folder === undefined) continue;
        const bundles = bundlesOf.get(folder) ?? new Set();
        bundlesOf.set(folder, bundles.add(bundleName(output)));
      }
  const used = await Promise.all(
    [...bundlesOf].sort().map(async ([folder, bundles]) => await describe(root, folder, bundles)),
  );
  return format(used);
}

/** `node_modules/a/node_modules/@b/c` of a file in it; undefined for one of this project. */
function packageFolder(input: string): string | undefined {
  return /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(input)?.[0];
}

/** `functions` or `stowage`: what is in one of these has the same chunks beside it. */
function bundleName(output: string): string {
  const [, name = ''] = /^dist\/([^/.]+)/.exec(output) ?? [];
  return name;
}

async function describe(root: string, folder: string, bundles: Set<string>): Promise<Used> {
  const own = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8')) as Package;
  const entries = await readdir(join(root, folder), { withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && isLegal.test(entry.name)).map(({ name }) => name);
  const texts = await Promise.all(files.sort().map(async (file) => await textOf(join(root, folder, file))));
  return { ...own, bundles, text: texts.join('\n\n') || (await usualText(root, own)) };
}

async function textOf(path: string): Promise<string> {
  return (await readFile(path, 'utf8')).replaceAll('\r\n', '\n').trim();
}

/** What a package means that only names its licence. */
async function usualText(root: string, { name, license, author }: Package): Promise<string> {
  // This project's own licence.
  if (license === 'Apache-2.0') return await textOf(join(root, 'LICENSE'));
  const holder = typeof author === 'string' ? author : (author?.name ?? `the authors of ${name}`);
  if (license === 'MIT') return `MIT License\n\nCopyright (c) ${holder}\n\n${mit}`;
  throw new Error(
    `${name} has no text of its licence (${license ?? 'none is named'}), which must go with the bundles: add it in infra/third-party.ts`,
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

function format(used: readonly Used[]): string {
  const byText = Map.groupBy(used, ({ text }) => text);
  const list = used.map(
    (one) => `${titleOf(one)} (${one.license ?? 'see its text'}), in ${[...one.bundles].sort().join(', ')}`,
  );
  return [
    'These packages are in the bundles beside this file, under the licences that follow.',
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
