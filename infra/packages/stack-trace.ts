/*
 * `npm run --silent trace < LOG` names sources in the stack traces of functions, whose packages have no source maps. It needs
 * a build of the commit that is deployed; names of chunks have a hash of their content.
 */
import { readFileSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { join, normalize } from 'node:path';
import { text } from 'node:stream/consumers';

/** A place in a bundle, as in a stack trace. Before it may be a URL or the folder of the function. */
const place = /[^\s("]*\b(dist\/functions\/[\w./-]+\.mjs):(\d+):(\d+)/g;

/** Replaces each place in a bundle by that in the source. Places of another build stay as they are. */
export function withSources(trace: string, root: string): string {
  const maps = new Map<string, SourceMap | undefined>();
  return trace.replaceAll(place, (written, file: string, line: string, column: string) => {
    if (!maps.has(file)) maps.set(file, readMap(join(root, `${file}.map`)));
    const entry = maps.get(file)?.findEntry(Number(line) - 1, Number(column) - 1);
    if (entry === undefined || !('originalSource' in entry)) return written;
    const source = normalize(join(file, '..', entry.originalSource));
    return `${source}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
  });
}

function readMap(path: string): SourceMap | undefined {
  try {
    return new SourceMap(JSON.parse(readFileSync(path, 'utf8')) as SourceMapPayload);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

if (import.meta.main)
  process.stdout.write(withSources(await text(process.stdin), join(import.meta.dirname, '../..')));
