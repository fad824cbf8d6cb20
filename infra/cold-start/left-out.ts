import { readFile } from 'node:fs/promises';
import type { Plugin } from 'esbuild';

/** The types that Koa looks up: those of texts, and of bytes of which nothing else is known. */
const types = ['text/plain', 'text/html', 'application/json', 'application/octet-stream'];

/** Modules of packages by what a function has in their place. */
const replaced: readonly (readonly [file: RegExp, contents: string])[] = [
  // Reads the stack of whoever loads it, to warn of what is deprecated once it is used.
  [
    /\/node_modules\/depd\/index\.js$/,
    `module.exports = () => Object.assign(() => {}, { function: (it) => it, property: () => {} });`,
  ],
  // Loads zlib and the streams of files, whose faults in old versions of Node it corrects.
  [
    /\/node_modules\/destroy\/index\.js$/,
    `module.exports = (stream, suppress) => {
       stream.destroy?.();
       if (suppress && stream.on) stream.removeAllListeners('error').on('error', () => {});
       return stream;
     };`,
  ],
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
    by: /\/node_modules\/(koa|sonic-boom|undici)\//,
    contents: 'module.exports = (holds, message) => { if (!holds) throw new Error(message); };',
  },
];

/** Leaves out what packages load at their start and functions do not use. */
export const leftOut: Plugin = {
  name: 'left-out',
  setup(build) {
    build.onLoad({ filter: /\/node_modules\/mime-db\/db\.json$/ }, async ({ path }) => {
      const all = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
      return {
        contents: JSON.stringify(Object.fromEntries(types.map((type) => [type, all[type]]))),
        loader: 'json',
      };
    });
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
