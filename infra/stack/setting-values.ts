import { unfitFault } from './parameter-reader.ts';

/** Whether a setting is switched on, as the registry reads it. */
export function isTrue(value: string | undefined): boolean {
  return value?.trim().toLowerCase() === 'true';
}

/** Whether the function `gc` collects garbage. */
export function collectsGarbage({
  settings,
}: {
  readonly settings: Readonly<Record<string, string>>;
}): boolean {
  return isTrue(settings['REGISTRY_GC_ENABLED']);
}

/**
 * What is wrong with a setting's value, whatever it means: it is in the template, which is no secret, and in the start script of
 * an instance.
 */
export function valueFault(name: string, value: string): string | undefined {
  const fault = unfitFault(value);
  if (fault !== undefined) return `settings: ${name} ${fault}`;
  if (hasUserInfo(value))
    return `settings: ${name} has a user or password in its URL and would be in the template; name a server that needs none`;
  return name.startsWith('NODE_') ? nodeFault(name, value) : undefined;
}

/** Whether there is a user or password in a URL, or in one of several. */
function hasUserInfo(value: string): boolean {
  const url = URL.parse(value);
  return /:\/\/[^\s/?#,;"']*@/.test(value) || (url !== null && url.username + url.password !== '');
}

/** Neither code nor less security of TLS. A hyphen of an option may be an underscore. */
const nodeOption =
  /^--(max[-_]old[-_]space[-_]size=\d+|max[-_]semi[-_]space[-_]size=\d+|dns-result-order=\w+|use-system-ca)$/;

function nodeFault(name: string, value: string): string | undefined {
  if (name === 'NODE_EXTRA_CA_CERTS') return undefined;
  if (name !== 'NODE_OPTIONS')
    return `settings: ${name} may change what code runs or what TLS checks; of Node's own, only NODE_EXTRA_CA_CERTS and NODE_OPTIONS are taken`;
  const isHarmless = value.split(/\s+/).every((option) => option === '' || nodeOption.test(option));
  return isHarmless
    ? undefined
    : 'settings: NODE_OPTIONS may have --max-old-space-size, --max-semi-space-size, --dns-result-order and --use-system-ca with their values after =, and no others, which could run other code or weaken TLS';
}
