import type { ImportKind, Metafile } from 'esbuild';
import { sourceOf } from '../cold-start/core-first.ts';

/** What esbuild wrote, and which file loads which. Paths are relative to the project, as in its metafile. */
export class Chunks {
  readonly #outputs: Metafile['outputs'];

  constructor({ outputs }: Metafile) {
    this.#outputs = outputs;
  }

  /** A file and its static imports, recursively: what Node loads before the first line of the file runs. */
  loadedWith(file: string, loaded = new Set<string>()): Set<string> {
    if (loaded.has(file)) return loaded;
    loaded.add(file);
    for (const imported of this.#importsOf(file, 'import-statement')) this.loadedWith(imported, loaded);
    return loaded;
  }

  /**
   * All that a file can load, dynamic imports included.
   * @param isLoaded whether a dynamic import of this module, named by its source, is followed
   */
  reachableFrom(file: string, isLoaded: (module: string) => boolean): Set<string> {
    const reached = new Set<string>();
    const next = [file];
    for (let entry = next.pop(); entry !== undefined; entry = next.pop()) {
      const isNew = this.loadedWith(entry).difference(reached);
      for (const one of isNew) {
        reached.add(one);
        next.push(...this.dynamicImportsOf(one).filter((imported) => isLoaded(this.moduleOf(imported))));
      }
    }
    return reached;
  }

  dynamicImportsOf(file: string): string[] {
    return this.#importsOf(file, 'dynamic-import');
  }

  /**
   * The source file of a dynamically imported chunk, such as `lib/storage/s3/store.ts` or `node_modules/a/b.js`, also where
   * `node_modules` is a link, or a folder above the project.
   */
  moduleOf(file: string): string {
    return sourceOf(this.#outputs[file]?.entryPoint ?? file).replace(/^.*?\/(?=node_modules\/)/, '');
  }

  /** The source files of all dynamically imported chunks. */
  dynamicModules(): ReadonlySet<string> {
    return new Set(
      Object.keys(this.#outputs)
        .flatMap((file) => this.dynamicImportsOf(file))
        .map((file) => this.moduleOf(file)),
    );
  }

  /** Bytes of these files together. */
  sizeOf(files: Iterable<string>): number {
    return [...files].reduce((sum, file) => sum + (this.#outputs[file]?.bytes ?? 0), 0);
  }

  #importsOf(file: string, kind: ImportKind): string[] {
    const imports = this.#outputs[file]?.imports ?? [];
    return imports.filter((one) => one.kind === kind && one.external !== true).map(({ path }) => path);
  }
}
