/** Parameters of a Bearer challenge (RFC 9110, section 11.6.1), all of which are quoted strings; undefined of another challenge. */
export function bearerParameters(
  challenge: string,
): Readonly<Record<string, string | undefined>> | undefined {
  const [, parameters] = /(?:^|,\s*)bearer\s+(.*)$/i.exec(challenge) ?? [];
  if (parameters === undefined) return undefined;
  const pairs = parameters.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g);
  return Object.fromEntries(
    [...pairs].map(([, name = '', value = '']) => [name.toLowerCase(), value.replace(/\\(.)/g, '$1')]),
  );
}
