import { parseDigest, type Digest } from '../../protocol/digests.ts';
import { readDuration } from '../../protocol/durations.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { isRepositoryName, type RepositoryName } from '../../protocol/names.ts';
import { isTag, type Tag } from '../../protocol/tags.ts';
import type { Target } from '../../registry/undo/rollback.ts';
import { UsageError } from '../command.ts';

/** Reads `team/app:v1`. @throws UsageError */
export function readTagName(text: string): { readonly name: RepositoryName; readonly tag: Tag } {
  const [name = '', tag, ...more] = text.split(':');
  if (!isRepositoryName(name) || (tag !== undefined && !isTag(tag)) || more.length > 0)
    throw new UsageError(
      `${JSON.stringify(text)} is not a repository and tag such as team/app:v1, without the registry's host`,
    );
  if (tag === undefined) throw new UsageError(`${JSON.stringify(text)} has no tag; write ${text}:TAG`);
  return { name, tag };
}

/** Reads `team/app`. @param tags what a tag is for, if one is given @throws UsageError */
export function readRepositoryName(text: string, tags?: string): RepositoryName {
  if (isRepositoryName(text)) return text;
  const hint = tags !== undefined && text.includes(':') ? `; ${tags}` : '';
  throw new UsageError(
    `${JSON.stringify(text)} is not a repository such as team/app, without the registry's host${hint}`,
  );
}

/** Reads the arguments of a command that takes one name and perhaps a configuration file. @throws UsageError */
export function nameAndFile(
  [name, file, more]: readonly string[],
  what: string,
): { readonly name: string; readonly file: string | undefined } {
  if (name === undefined) throw new UsageError(`name the ${what}`);
  if (more !== undefined) throw new UsageError(`${JSON.stringify(more)} is one argument too many`);
  return { name, file };
}

const isoTime = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?$/;

/** UTC, unless it says otherwise. */
function readTime(text: string): Date | undefined {
  const [isTime, zone] = isoTime.exec(text) ?? [];
  if (isTime === undefined) return undefined;
  const time = new Date(zone === undefined && text.includes('T') ? `${text}Z` : text);
  return Number.isNaN(time.getTime()) ? undefined : time;
}

/**
 * Reads a digest, a time in ISO 8601 (UTC unless it says otherwise), or a duration ago.
 * @throws UsageError
 */
export function readTarget(text: string): Target {
  if (/^sha\d+:/.test(text)) return { digest: readDigest(text) };
  const ago = readDuration(text);
  if (ago !== undefined) return { agoMs: ago };
  const at = readTime(text);
  if (at !== undefined) return { at };
  throw new UsageError(
    `--to: ${JSON.stringify(text)} is not a digest, a time such as 2026-11-27T09:00Z, or a duration ago such as 2h or 3d`,
  );
}

function readDigest(text: string): Digest {
  try {
    return parseDigest(text);
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    throw new UsageError(
      `--to: ${JSON.stringify(text)} is not a whole digest; stowage history --json prints them`,
    );
  }
}
