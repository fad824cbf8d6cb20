import { relative } from 'node:path';
import { isBuiltin } from 'node:module';
import type { Plugin } from 'esbuild';

const namespace = 'on-demand';

/**
 * Has each module that is loaded on demand import a core, which has long been loaded by then. esbuild makes a chunk of what the
 * same entry points share, and a dynamic import is an entry point: without this, the start of a function is in 23 files, and with
 * it in three. Each file costs Node about half a millisecond of a processor.
 * @param core path relative to `root`
 */
export function coreFirst(root: string, core: string): Plugin {
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
        contents: `import './${core}'; export * from './${path}';`,
        resolveDir: root,
      }));
    },
  };
}

/** The source of an entry point in a metafile. */
export function sourceOf(entryPoint: string): string {
  return entryPoint.replace(`${namespace}:`, '');
}
