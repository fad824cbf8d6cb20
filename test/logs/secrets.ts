/** What entitles whoever reads it to something, by its form. */
const forms: Readonly<Record<string, RegExp>> = {
  'the state of an upload': /\b1\.\d{1,15}\.\d{9,11}\.[\w-]{43}/,
  'a query that entitles':
    /[?&](?:_state|signature|x-amz-(?:signature|credential|security-token)|sohucsaccesskeyid)=/i,
  'an Authorization header': /AWS4-HMAC-SHA256 Credential|\b(?:Bearer|Basic) [\w+/=-]{8,}/,
  // A line of its own is what `stowage token create` and `stowage login` print.
  'a token': /.stowage_(?:refresh|robot)_|.\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\./,
  'the hash of a password': /\$2[abxy]\$\d\d\$[./\w]{53}/,
  'a URL with a password': /\/\/[^\s/@:"']*:[^\s/@"']+@/,
  // Advice on settings shows what one is like.
  'a DSN': /:(?!password@)[^\s"']*@(?:tcp|unix)\(/,
};

/**
 * The kinds of secrets that a text of a registry has: its log, or the body of an error.
 * @param known secrets that were given to it
 */
export function secretsIn(text: string, known: Iterable<string> = []): string[] {
  const found = Object.entries(forms).flatMap(([kind, form]) => {
    const [match] = form.exec(text) ?? [];
    return match === undefined ? [] : [`${kind}: ${match}`];
  });
  for (const secret of known) if (text.includes(secret)) found.push(`a secret it was given: ${secret}`);
  return found;
}

/**
 * The secrets among the settings of a registry, and no words that its log may have for other reasons. PASSWORDS stands for those
 * of its users, one on each line.
 */
export function secretsOf(settings: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(settings)
    .filter(([name]) => /(?:ACCESSKEY|SECRETKEY|SECRET|SECRET_PREVIOUS|TOKEN|MYSQL|^PASSWORDS)$/.test(name))
    .flatMap(([name, value = '']) => (name === 'PASSWORDS' ? value.split('\n') : [value]))
    .filter((secret) => secret.length > 6);
}
