/*
 * Builds dist/: a bundle per function with shared and lazily loaded chunks, the command `stowage` with its own chunks,
 * stack.cjs for serverless.yml, functions.json for serverless.offline.yml, packages.json with the files of each function's
 * package, and the licences of the bundled packages.
 */
import '../lib/commands/require-node.ts';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { build, type BuildOptions } from 'esbuild';
import { bundling } from './bundling.ts';
import { coreFirst, sharedOnDemand } from './cold-start/core-first.ts';
import { leftOut } from './cold-start/left-out.ts';
import { requiredBuiltins } from './cold-start/required-builtins.ts';
import {
  describeAllFunctions,
  functionNames,
  httpFunctionNames,
  invokedFunctionNames,
  scheduledFunctionNames,
  thirdPartyFile,
} from './gateway.ts';
import { Chunks } from './packages/chunks.ts';
import { describePackages, filesOf, packagesFile } from './packages/packages.ts';
import { assertPackagesSmall } from './packages/sizes.ts';
import { thirdPartyLicenses } from './third-party.ts';

const root = join(import.meta.dirname, '..');
const output = join(root, 'dist');

/** The command, which `bin` of package.json names. */
const program = join(output, 'stowage.mjs');

/** Bytes that a function may load at a cold start. */
const maxStartBytes = 400 * 1024;

/** Bytes of a lazily loaded client of a store or a database. */
const maxClientBytes = 1100 * 1024;

const common = {
  ...bundling,
  outdir: output,
  sourcemap: true,
  write: false,
  metafile: true,
  absWorkingDir: root,
} satisfies BuildOptions;
const [http, jobs] = await Promise.all([
  buildFunctions(httpFunctionNames, 'lib/lambda/handler.ts', sharedOnDemand),
  buildFunctions(
    [...scheduledFunctionNames, ...invokedFunctionNames],
    'lib/compose.ts',
    sharedOnDemand.filter((path) => !path.startsWith('lib/access/tokens/')),
  ),
]);
const functionFiles = [...http.outputFiles, ...jobs.outputFiles];
const metafile = { inputs: {}, outputs: { ...jobs.metafile.outputs, ...http.metafile.outputs } };
const { metafile: commandMetafile, outputFiles: commandFiles } = await build({
  ...common,
  entryPoints: [join(root, 'lib/commands/stowage.ts')],
  splitting: true,
  chunkNames: 'stowage/[name]-[hash]',
});
// serverless.yml refers to it, and osls loads no modules.
const { outputFiles: stackFiles } = await build({
  absWorkingDir: root,
  bundle: true,
  entryPoints: [join(root, 'infra/stack/stack.ts')],
  outfile: join(output, 'stack.cjs'),
  platform: 'node',
  format: 'cjs',
  write: false,
});
const chunks = new Chunks(metafile);
for (const name of functionNames) assertSmall(`dist/functions/${name}.mjs`);
const packages = describePackages(chunks);
const functions = Object.entries(describeAllFunctions()).map(([name, one]) => {
  const files = packages[name] === undefined ? [] : filesOf(packages[name]);
  return [name, { ...one, package: { patterns: files } }];
});
const licenses = Buffer.from(await thirdPartyLicenses(root, [metafile, commandMetafile]));
const written = new Map(functionFiles.map(({ path, contents }) => [relative(root, path), contents]));
assertPackagesSmall(packages, (file) => written.get(file) ?? licenses);
await replaceAll([
  ...[...functionFiles, ...commandFiles, ...stackFiles].map(({ path, contents }) => ({ path, contents })),
  { path: join(output, 'functions.json'), contents: json(Object.fromEntries(functions)) },
  { path: join(root, packagesFile), contents: json(packages) },
  { path: join(root, thirdPartyFile), contents: licenses },
]);

/** @param core what these functions have in common before they load anything on demand */
async function buildFunctions(names: readonly string[], core: string, shared: readonly string[]) {
  return await build({
    ...common,
    entryPoints: names.map((name) => ({
      in: join(root, `functions/${name}.ts`),
      out: `functions/${name}`,
    })),
    splitting: true,
    chunkNames: 'functions/chunks/[name]-[hash]',
    // The build for browsers is the same in modules, so that only what is used is loaded.
    alias: { yaml: join(root, 'node_modules/yaml/browser/dist/index.js') },
    plugins: [coreFirst(root, [core, ...shared]), requiredBuiltins, leftOut],
    minify: true,
    keepNames: true,
  });
}

async function hasContents(path: string, contents: string | Uint8Array): Promise<boolean> {
  const present = await readFile(path).catch(() => undefined);
  return present?.equals(Buffer.from(contents)) === true;
}

/** Replaces all files in dist/, each atomically: functions of another `npm start` may load a chunk at any time. */
async function replaceAll(files: readonly { path: string; contents: string | Uint8Array }[]): Promise<void> {
  for (const { path, contents } of files) {
    // osls refuses to package a file that another build replaces meanwhile.
    if (await hasContents(path, contents)) continue;
    const temporary = `${path}.${process.pid}`;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(temporary, contents, { mode: path === program ? 0o755 : 0o644 });
    await rename(temporary, path);
  }
  const built = new Set(files.map(({ path }) => path));
  for (const entry of await readdir(output, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    // Temporary files of a concurrent build stay.
    if (!entry.isDirectory() && !built.has(path) && !/\.\d+$/.test(path)) await rm(path, { force: true });
  }
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** @throws when a function exceeds its budget at start, or a client that it loads exceeds its own */
function assertSmall(entry: string): void {
  const start = chunks.loadedWith(entry);
  assertSize(entry, start, maxStartBytes);
  for (const client of [...start].flatMap((file) => chunks.dynamicImportsOf(file)))
    assertSize(`${client}, loaded by ${entry},`, chunks.loadedWith(client).difference(start), maxClientBytes);
}

function assertSize(what: string, files: ReadonlySet<string>, maxBytes: number): void {
  const size = chunks.sizeOf(files);
  if (size > maxBytes) throw new Error(`${what} has ${size} bytes with its imports, more than ${maxBytes}`);
}
