/*
 * Builds what is deployed into dist/: one bundle for each function, the streaming server, the sweep as a program, and
 * the description of the functions with their routes that serverless.yml reads.
 */
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build, type BuildOptions } from 'esbuild';
import { describeAllFunctions, functionNames } from './gateway.ts';

const root = join(import.meta.dirname, '..');
const output = join(root, 'dist');

/** Bytes a function's bundle may have: what is loaded at each cold start. Almost half of it is the SDK for S3. */
const maxBundle = 1200 * 1024;

/** Packages in CommonJS ask for `require`, which a module does not have. */
const banner = {
  js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
};

await rm(output, { recursive: true, force: true });
await mkdir(output);
const common: BuildOptions = {
  outdir: output,
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  outExtension: { '.js': '.mjs' },
  // Some packages' CommonJS form defeats tree shaking.
  mainFields: ['module', 'main'],
  sourcemap: true,
  legalComments: 'none',
  banner,
};
await build({
  ...common,
  entryPoints: functionNames.map((name) => ({
    in: join(root, `functions/${name}.ts`),
    out: `functions/${name}`,
  })),
  minify: true,
  keepNames: true,
});
await build({ ...common, entryPoints: [join(root, 'infra/serve.ts'), join(root, 'infra/sweep.ts')] });
await writeFile(join(output, 'functions.json'), `${JSON.stringify(describeAllFunctions(), null, 2)}\n`);

for (const name of functionNames) {
  const { size } = await stat(join(output, `functions/${name}.mjs`));
  if (size > maxBundle) throw new Error(`the bundle of ${name} has ${size} bytes, more than ${maxBundle}`);
}
