/** Parameters of a URL. One without a value has an empty one. */
export type Query = Readonly<Record<string, string>>;

/**
 * Escapes a value for a query as signatures want it: of its UTF-8 bytes, only `A-Z a-z 0-9 - . _ ~` stay.
 * @throws URIError if it is not well-formed Unicode
 */
export function escapeValue(value: string): string {
  return encodeURIComponent(value).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/**
 * Escapes a key for the path of a URL: as a value, but its slashes stay. Signatures of S3 cover the path as it is sent.
 * @throws URIError if it is not well-formed Unicode
 */
export function escapeKey(key: string): string {
  // Most keys have nothing to escape.
  return /^[A-Za-z0-9\-._~/]*$/.test(key) ? key : escapeValue(key).replaceAll('%2F', '/');
}

/** A query without its question mark, in the form that is signed: parameters sorted by their names. */
export function encodeQuery(query: Query): string {
  return Object.keys(query)
    .sort()
    .map((name) => `${escapeValue(name)}=${escapeValue(query[name] ?? '')}`)
    .join('&');
}
