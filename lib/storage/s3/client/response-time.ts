/** Names in lower case. */
type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/**
 * When a server gave a response, by its clock, in milliseconds since 1970; undefined if the response does not say. The age of a cached one
 * is subtracted, since not every cache keeps the date (RFC 9111, 5.1): that is too early rather than too late.
 */
export function responseTimeMs({ date, age }: Headers): number | undefined {
  if (typeof date !== 'string') return undefined;
  const timeMs = Date.parse(date) - (age === undefined ? 0 : Number(age) * 1000);
  return Number.isNaN(timeMs) ? undefined : timeMs;
}
