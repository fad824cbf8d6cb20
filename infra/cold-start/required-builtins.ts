import { isBuiltin } from 'node:module';
import type { Plugin } from 'esbuild';

const namespace = 'builtin';

/**
 * Loads Node's own modules by `require`. An import evaluates all that a module exports, also what Node makes only when it is used:
 * `import 'node:http'` loads all of `fetch` and WebSocket, which takes 37 ms of a processor instead of 3, and `node:fs` and
 * `node:crypto` load their promises and Web Crypto.
 */
export const requiredBuiltins: Plugin = {
  name: 'required-builtins',
  setup(build) {
    build.onResolve({ filter: /./ }, ({ path, kind }) =>
      kind === 'import-statement' && isBuiltin(path)
        ? { path: path.replace(/^(node:)?/, 'node:'), namespace, sideEffects: false }
        : undefined,
    );
    build.onLoad({ filter: /./, namespace }, ({ path }) => ({
      contents: `module.exports = require('${path}');`,
    }));
  },
};
