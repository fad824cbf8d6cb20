/** Parameters of a URL; `null` for one without value and equals sign. */
export type Query = Readonly<Record<string, string | null>>;

/**
 * A value as it stands in a query: of its UTF-8 bytes only `A-Z a-z 0-9 _ - ~ .` stay. A space is `%20`, which every
 * server reads as one, and a plus may be taken for one.
 * @throws URIError when it is not well-formed Unicode
 */
export function escapeValue(value: string): string {
  return encodeURIComponent(value).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/**
 * A key as it stands in URLs and in what is signed: as a value, but `/` and `:` stay too.
 * @throws URIError when it is not well-formed Unicode
 */
export function escapeKey(key: string): string {
  return escapeValue(key).replaceAll('%2F', '/').replaceAll('%3A', ':');
}

/** The query of a URL, parameters in the order of their names; empty, or with its question mark. */
export function encodeQuery(query: Query): string {
  const parameters = Object.keys(query)
    .sort()
    .map((name) => {
      const value = query[name] ?? null;
      return value === null ? name : `${name}=${escapeValue(value)}`;
    });
  return parameters.length === 0 ? '' : `?${parameters.join('&')}`;
}

/** The path of a bucket, of an object in it, or of all buckets. */
export function pathOf(bucket: string, key = ''): string {
  return bucket === '' ? '/' : `/${bucket}/${escapeKey(key)}`;
}
