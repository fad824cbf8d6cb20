import type { Plugin } from 'esbuild';

/** Modules of packages by what a function has in their place. */
const replaced: readonly (readonly [file: RegExp, contents: string])[] = [
  // Writes logs in a thread.
  [
    /\/node_modules\/pino\/lib\/transport\.js$/,
    `module.exports = () => { throw new Error('functions log to standard output'); };`,
  ],
];

/** Modules of Node by what a package uses of them. */
const builtins: readonly { readonly of: string; readonly by: RegExp; readonly contents: string }[] = [
  { of: 'worker_threads', by: /\/node_modules\/pino\//, contents: 'exports.isMainThread = true;' },
  {
    of: 'assert',
    by: /\/node_modules\/(sonic-boom|undici)\//,
    contents: 'module.exports = (holds, message) => { if (!holds) throw new Error(message); };',
  },
];

/** Leaves out what packages load at their start and functions do not use. */
export const leftOut: Plugin = {
  name: 'left-out',
  setup(build) {
    for (const [filter, contents] of replaced) build.onLoad({ filter }, () => ({ contents }));
    for (const { of, by, contents } of builtins) {
      const namespace = `left-out ${of}`;
      build.onResolve({ filter: new RegExp(`^(node:)?${of}$`) }, ({ importer }) =>
        by.test(importer) ? { path: of, namespace } : undefined,
      );
      build.onLoad({ filter: /./, namespace }, () => ({ contents }));
    }
  },
};
