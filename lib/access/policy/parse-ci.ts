import { Fields } from './fields.ts';
import type { CiIdentity, Claim } from './model.ts';
import type { ParseContext } from './parse-context.ts';
import { claimPatternFault } from './patterns.ts';
import { shown, type Text, type YamlNode } from './yaml-reader.ts';

/** Lifetimes of refresh tokens, in seconds. */
const lifetimes = { min: 10 * 60, default: 2 * 60 * 60, max: 24 * 60 * 60 };

/** Units in seconds. */
const units: Readonly<Record<string, number>> = { m: 60, h: 60 * 60 };

/** Deepest nesting of claims. */
const maxDepth = 5;

/** Longest issuer and audience, in characters. */
const maxLength = 255;

/**
 * Public issuers, and the claims that identify the owner of a job. With `ref: refs/heads/main` alone, a job of any repository
 * in the world would match.
 */
const sharedIssuers: Readonly<Record<string, readonly string[]>> = {
  'https://token.actions.githubusercontent.com': [
    'repository_id',
    'repository_owner_id',
    'repository',
    'repository_owner',
    'enterprise_id',
    'sub',
  ],
  'https://gitlab.com': ['project_id', 'namespace_id', 'project_path', 'namespace_path', 'sub'],
  'https://agent.buildkite.com': ['organization_id', 'organization_slug', 'pipeline_id', 'sub'],
  'https://accounts.google.com': ['email', 'sub'],
};

/** Reads the identities of CI jobs. */
export function readCi(context: ParseContext, node: YamlNode): CiIdentity[] {
  if (node === null) return [];
  return context.reader
    .entries(node, 'ci')
    .filter(({ key, keyNode }) => context.isName({ text: key, node: keyNode }, 'a ci identity'))
    .map(({ key, value }) => readIdentity(context, key, value));
}

function readIdentity(context: ParseContext, name: string, node: YamlNode): CiIdentity {
  const { reader } = context;
  const fields = new Fields(reader, node, `ci ${name}`, ['issuer', 'audience', 'claims', 'lifetime']);
  const issuer = fields.requiredText('issuer');
  if (issuer !== undefined && !isIssuer(issuer.text))
    reader.fault(
      issuer.node,
      `issuer of ${fields.what}: ${shown(issuer.text)} is not an https URL without a query`,
    );
  const audience = fields.requiredText('audience');
  if (audience !== undefined && (audience.text.length > maxLength || /[\s\p{Cc}]/u.test(audience.text)))
    reader.fault(
      audience.node,
      `audience of ${fields.what} must have at most ${maxLength} characters, and no spaces`,
    );
  const claims = fields.required('claims', (value, what) => readClaims(context, value, what)) ?? [];
  if (fields.has('claims')) requireOwnerClaim(fields, issuer, claims);
  return {
    name,
    issuer: issuer?.text ?? '',
    audience: audience?.text ?? '',
    claims,
    lifetime:
      fields.optional('lifetime', (value, what) => readLifetime(context, value, what)) ?? lifetimes.default,
  };
}

function isIssuer(text: string): boolean {
  const url = URL.parse(text);
  return text.length <= maxLength && url?.protocol === 'https:' && !/[?#@\s]/.test(text);
}

function readClaims(
  context: ParseContext,
  node: YamlNode,
  what: string,
  above: readonly string[] = [],
): Claim[] {
  const { reader } = context;
  const entries = reader.entries(node, what);
  if (reader.isMapping(node) && entries.length === 0) reader.fault(node, `${what} has no claim`);
  return entries.flatMap(({ key, value, keyNode }) => {
    const path = [...above, key];
    const of = `${shown(key)} in ${what}`;
    if (!reader.isMapping(value))
      return [{ path, values: context.patterns(value, of, { fault: claimPatternFault }) }];
    if (path.length < maxDepth) return readClaims(context, value, of, path);
    reader.fault(keyNode, `${of} is nested too deeply`);
    return [];
  });
}

/** At a public issuer, one of the claims must identify the owner of the job. */
function requireOwnerClaim(fields: Fields, issuer: Text | undefined, claims: readonly Claim[]): void {
  const names = sharedIssuers[issuer?.text.replace(/\/$/, '') ?? ''];
  if (names === undefined) return;
  const isOwnerClaim = ({ path, values }: Claim) =>
    path.length === 1 && names.includes(path[0] ?? '') && values.every(({ text }) => !/^[^/]*\*/.test(text));
  if (!claims.some(isOwnerClaim))
    fields.fault(
      `${fields.what}: every customer of ${issuer?.text ?? ''} can get a token with these claims; ` +
        `add at least one of ${names.filter((name) => name !== 'sub').join(', ')}`,
    );
}

function readLifetime({ reader }: ParseContext, node: YamlNode, what: string): number | undefined {
  const text = reader.text(node, what)?.text;
  if (text === undefined) return undefined;
  const [, number, unit = ''] = /^(\d{1,4})([mh])$/.exec(text) ?? [];
  const seconds = Number(number) * (units[unit] ?? Number.NaN);
  if (seconds >= lifetimes.min && seconds <= lifetimes.max) return seconds;
  reader.fault(
    node,
    `${what} cannot be ${shown(text)}; it must be a time from 10m to 24h, such as 90m or 2h`,
  );
  return undefined;
}
