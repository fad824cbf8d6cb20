/** Parameters of a URL; `null` for one without value and equals sign. */
export type Query = Readonly<Record<string, string | null>>;

/**
 * Escapes a value for a query: of its UTF-8 bytes, only `A-Z a-z 0-9 _ - ~ .` stay. A space becomes `%20`, which every
 * server understands, unlike `+`.
 * @throws URIError if it is not well-formed Unicode
 */
export function escapeValue(value: string): string {
  return encodeURIComponent(value).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/**
 * Escapes a key for URLs and signatures: as a value, but `/` and `:` stay.
 * @throws URIError if it is not well-formed Unicode
 */
export function escapeKey(key: string): string {
  return escapeValue(key).replaceAll('%2F', '/').replaceAll('%3A', ':');
}

/** The query of a URL with its question mark, parameters sorted by name; empty without parameters. */
export function encodeQuery(query: Query): string {
  const parameters = Object.keys(query)
    .sort()
    .map((name) => {
      const value = query[name] ?? null;
      return value === null ? name : `${name}=${escapeValue(value)}`;
    });
  return parameters.length === 0 ? '' : `?${parameters.join('&')}`;
}

/** The path of an object, of a bucket if the key is empty, or of all buckets if the bucket is. */
export function pathOf(bucket: string, key = ''): string {
  return bucket === '' ? '/' : `/${bucket}/${escapeKey(key)}`;
}
