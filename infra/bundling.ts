import { join } from 'node:path';
import type { BuildOptions } from 'esbuild';

/** How this project's programs and functions become one file, or few, which need no packages beside them. */
export const bundling = {
  bundle: true,
  platform: 'node',
  // An older Node than is needed must be able to read it as far as that it says so (require-node.ts).
  target: 'node20',
  format: 'esm',
  outExtension: { '.js': '.mjs' },
  // Some packages' CommonJS form defeats tree shaking.
  mainFields: ['module', 'main'],
  // Koa comes with two versions of this table, each a fifth of what a function would load.
  alias: { 'mime-db': join(import.meta.dirname, '../node_modules/mime-db') },
  legalComments: 'none',
  // Packages in CommonJS ask for `require`, which a module does not have.
  banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  },
} satisfies BuildOptions;
