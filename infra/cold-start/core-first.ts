import { relative } from 'node:path';
import { isBuiltin } from 'node:module';
import type { Plugin } from 'esbuild';

const namespace = 'on-demand';

/**
 * What modules share that are loaded on demand, each of which most functions load at their first request. Modules that few of them
 * need, and large ones, do not belong here.
 */
export const sharedOnDemand = [
  'lib/storage/s3/client/client.ts',
  'lib/storage/s3/client/agent.ts',
  ...['bodies', 'reconnecting-body', 'root-directory', 'part-order', 'bucket-errors', 'listing-page'].map(
    (name) => `lib/storage/${name}.ts`,
  ),
  'lib/storage/file-errors.ts',
  'lib/access/secrets-manager/secrets-manager.ts',
  ...['access-tokens', 'keys', 'scopes', 'challenge', 'verified-tokens'].map(
    (name) => `lib/access/tokens/${name}.ts`,
  ),
];

/**
 * Has each module that is loaded on demand import a core, which has long been loaded by then, and what such modules share. esbuild
 * makes a chunk of what the same entry points share, and a dynamic import is an entry point: without this, the start of a function is
 * in 23 files, and with it in three, and its first request loads five files instead of 17. Each file costs Node about half a
 * millisecond of a processor.
 * @param modules paths relative to `root`
 */
export function coreFirst(root: string, modules: readonly string[]): Plugin {
  const imports = modules.map((path) => `import './${path}';`).join('');
  return {
    name: 'core-first',
    setup(build) {
      build.onResolve({ filter: /./ }, async ({ path, kind, importer, resolveDir, namespace: of }) => {
        if (kind !== 'dynamic-import' || of !== 'file' || isBuiltin(path)) return undefined;
        const resolved = await build.resolve(path, { kind: 'import-statement', importer, resolveDir });
        if (resolved.external || resolved.errors.length > 0) return resolved;
        return { path: relative(root, resolved.path), namespace };
      });
      build.onLoad({ filter: /./, namespace }, ({ path }) => ({
        contents: `${imports} export * from './${path}';`,
        resolveDir: root,
      }));
    },
  };
}

/** The source of an entry point in a metafile. */
export function sourceOf(entryPoint: string): string {
  return entryPoint.replace(`${namespace}:`, '');
}
