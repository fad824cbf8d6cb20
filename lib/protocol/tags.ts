import { RegistryError } from './errors.ts';

declare const brand: unique symbol;

/** A tag validated by {@link parseTag}: safe in keys. */
export type Tag = string & { readonly [brand]: 'Tag' };

const grammar = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

export function isTag(text: string): text is Tag {
  return grammar.test(text);
}

/**
 * Reads a tag: 1 to 128 letters, digits, `_`, `.` and `-`, the first neither `.` nor `-`
 * (OCI Distribution Spec, "Pulling manifests").
 * @throws RegistryError TAG_INVALID
 */
export function parseTag(text: string): Tag {
  if (!isTag(text)) throw new RegistryError('TAG_INVALID', undefined, [{ tag: text.slice(0, 128) }]);
  return text;
}
