import type { BuildOptions } from 'esbuild';

/** esbuild options of all bundles. They need no packages beside them. */
export const bundling = {
  bundle: true,
  platform: 'node',
  // An older Node must be able to parse the bundle and report that it is too old (require-node.ts).
  target: 'node20',
  format: 'esm',
  outExtension: { '.js': '.mjs' },
  // The CommonJS builds of some packages defeat tree shaking.
  mainFields: ['module', 'main'],
  legalComments: 'none',
  // CommonJS packages call `require`, which modules lack.
  banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  },
} satisfies BuildOptions;
