import { ConfigError } from './config-error.ts';
import { isSet, type Environment } from './variables.ts';

const setting = 'REGISTRY_SECRETS';

/** A secret that was asked for: its text, or why there is none. */
export type RetrievedSecret =
  { readonly id: string; readonly text: string } | { readonly id: string; readonly fault: string };

/** The secrets with settings, by name or ARN. */
export function namedSecrets(environment: Environment = process.env): readonly string[] {
  const names = (environment[setting] ?? '').split(/[\s,]+/);
  return [...new Set(names.filter((name) => name !== ''))];
}

/**
 * The environment with the settings in secrets, and without `REGISTRY_SECRETS`. Each secret is a JSON object from names of
 * settings to texts.
 * @throws ConfigError naming each secret that is missing or of another form, without anything of its text
 */
export function withSecrets(
  secrets: readonly RetrievedSecret[],
  environment: Environment = process.env,
): Environment {
  const faults: string[] = [];
  const settings = new Map<string, { readonly value: string; readonly from: string }>();
  for (const secret of secrets) {
    const from = `the secret ${secret.id}`;
    const content = 'fault' in secret ? secret.fault : parseSecret(secret.text, from);
    if (typeof content === 'string') faults.push(content);
    else
      for (const [name, value] of content) {
        const other = settings.get(name)?.from ?? (isSet(environment[name]) ? 'the environment' : undefined);
        if (other !== undefined) faults.push(`${from} has ${name}, and so has ${other}; remove one of them`);
        settings.set(name, { value, from });
      }
  }
  if (faults.length > 0) throw new ConfigError(faults.map((fault) => `${setting}: ${fault}`));
  const values = Object.fromEntries([...settings].map(([name, { value }]) => [name, value]));
  return { ...environment, ...values, [setting]: undefined };
}

/** @returns the settings, or the fault */
function parseSecret(text: string, from: string): readonly (readonly [string, string])[] | string {
  const content = parseObject(text);
  const form = `${from} must be a JSON object such as {"REGISTRY_HTTP_SECRET": "…"}`;
  if (content === undefined) return form;
  const entries = Object.entries(content);
  if (!entries.every(([name]) => /^[A-Z][A-Z0-9_]*$/.test(name)))
    return `${form}; one of its names is no setting`;
  const settings = entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  if (settings.length === entries.length) return settings;
  const others = entries.filter(([, value]) => typeof value !== 'string').map(([name]) => name);
  return `${form}; no text is ${others.join(', ')}`;
}

function parseObject(text: string): object | undefined {
  try {
    const content: unknown = JSON.parse(text);
    return typeof content === 'object' && content !== null && !Array.isArray(content) ? content : undefined;
  } catch {
    return undefined;
  }
}
