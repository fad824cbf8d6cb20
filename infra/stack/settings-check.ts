import { functionNames, isHttpFunction, type FunctionName } from '../gateway.ts';
import { ConfigError, loadConfig } from '../../lib/config/config.ts';
import { knownSetting } from '../../lib/config/variables.ts';
import { instanceAddress } from './data-plane/address.ts';
import { endpointsSetting } from '../../lib/config/notifications.ts';
import { copySetting, listSetting } from '../../lib/config/upstreams.ts';
import { environmentOf, limitedHeap } from './environment.ts';
import { endpointPrefix, givenEndpoints, tellsOfEvents } from './events.ts';
import type { Parameters } from './parameters.ts';
import { kmsKey } from './rights.ts';
import { secretSettings, secretsOf } from './secrets.ts';
import { valueFault } from './setting-values.ts';
import type { Value } from './template.ts';
import { givenUpstreams, passwordSetting, passwordSettings } from './upstreams.ts';

/** Settings of no function, or of no registry. */
const ownSettings = ['REGISTRY_SECRETS', 'SECRETS_REVISION'];

/** Lambda sets most variables of AWS itself, and refuses to take them. */
const settingName = /^((REGISTRY|SEARCH|OTEL|NODE)_[A-Z0-9_]+|AWS_ENDPOINT_URL[A-Z0-9_]*)$/;

/** With credentials for a collector. OpenTelemetry reads the environment itself, so no secret can have them. */
const credentialHeaders = /^OTEL_EXPORTER_OTLP_([A-Z]+_)?HEADERS$/;

/** A public key's form, for checks before the deployment has derived one. */
const somePublicKey = 'A'.repeat(43);

/** The faults that the functions would find in their settings at their start, which is after the deployment. */
export function settingFaults(parameters: Parameters): readonly string[] {
  const misplaced = new Map(
    Object.entries(parameters.settings).flatMap(([name, value]) => {
      const fault = misplacedFault(name, parameters) ?? valueFault(name, value);
      return fault === undefined ? [] : [[name, fault]];
    }),
  );
  const others = Object.entries(parameters.settings).filter(([name]) => !misplaced.has(name));
  const rest = { ...parameters, settings: Object.fromEntries(others) };
  const faults = functionNames.flatMap((name) => faultsOf(name, rest));
  return [
    ...misplaced.values(),
    ...queueFaults(rest),
    ...keyFaults(rest),
    ...new Set(faults),
    ...sizeFaults(rest),
  ];
}

function queueFaults(parameters: Parameters): readonly string[] {
  return parameters.eventQueue && !tellsOfEvents(parameters)
    ? [`eventQueue: has no effect without ${endpointsSetting}; name an endpoint in settings, or remove it`]
    : [];
}

/** A right names the key by its ARN. */
function keyFaults(parameters: Parameters): readonly string[] {
  const key = kmsKey(parameters);
  return key === undefined || /^arn:aws[\w-]*:kms:[a-z0-9-]+:\d{12}:key\/[\w-]+$/.test(key)
    ? []
    : ['settings: REGISTRY_STORAGE_S3_KEYID must be the ARN of the key, to which the functions get rights'];
}

/** Bytes of all names and values (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html). */
const maxEnvironmentBytes = 4096;

function sizeFaults(parameters: Parameters): readonly string[] {
  const largest = Math.max(...functionNames.map((name) => sizeOf(environmentOf(name, parameters))));
  return largest <= maxEnvironmentBytes
    ? []
    : [`settings: with them an environment has ${largest} bytes, and Lambda takes ${maxEnvironmentBytes}`];
}

function sizeOf(environment: Readonly<Record<string, Value>>): number {
  return Object.entries(environment)
    .map(([name, value]) => Buffer.byteLength(name + example(value)))
    .reduce((sum, bytes) => sum + bytes, 0);
}

/** A secret would be in the template, and what the stack sets itself would have no effect. */
function misplacedFault(name: string, parameters: Parameters): string | undefined {
  if (!settingName.test(name)) return `settings: ${name} is no setting of the registry; remove it`;
  const { setting } = knownSetting(name) ?? {};
  if (credentialHeaders.test(name))
    return `settings: ${name} has credentials and would be in the template; send traces to a collector that needs none`;
  if (name === endpointsSetting) return endpointsFault(parameters);
  if (name === listSetting) return upstreamsFault(parameters);
  if (setting?.kind === 'works' && setting.secret === true)
    return `settings: ${name} is secret and would be in the template; it belongs into a secret of the stage (docs/deploy/aws.md)`;
  const own = functionNames.flatMap((one) =>
    Object.keys(environmentOf(one, { ...parameters, settings: {} })),
  );
  const isReplaceable = name in limitedHeap;
  return !isReplaceable && [...own, ...ownSettings, copySetting].includes(name)
    ? `settings: ${name} is set by the deployment itself; remove it`
    : undefined;
}

/** All but passwords may be in the template. */
function upstreamsFault(parameters: Parameters): string | undefined {
  const upstreams = givenUpstreams(parameters);
  const index = upstreams.findIndex(({ password }) => password !== undefined);
  if (index >= 0)
    return (
      `settings: ${listSetting}: the password of entry ${index + 1} would be in the template; set ` +
      `${passwordSetting(upstreams[index]?.['prefix'])} in the environment of the deployment, which keeps it in a secret of the stage`
    );
  const names = passwordSettings(parameters);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  return twice === undefined
    ? undefined
    : `settings: ${listSetting}: ${twice} would be the password of two entries; give one of them another prefix`;
}

/** All but secrets and headers may be in the template. */
function endpointsFault(parameters: Parameters): string | undefined {
  const endpoints = givenEndpoints(parameters);
  const index = endpoints.findIndex(({ secret, headers }) => secret !== undefined || headers !== undefined);
  if (index < 0) return undefined;
  const { name } = endpoints[index] ?? {};
  const prefix = endpointPrefix(typeof name === 'string' ? name : 'NAME');
  return (
    `settings: ${endpointsSetting}: the secret and headers of entry ${index + 1} would be in the template; set ${prefix}SECRET ` +
    `and ${prefix}HEADERS_… in the environment of the deployment, which keeps them in a secret of the stage`
  );
}

function faultsOf(name: FunctionName, parameters: Parameters): readonly string[] {
  const { publicKeys } = parameters;
  const known = { ...parameters, publicKeys: publicKeys.length > 0 ? publicKeys : [somePublicKey] };
  const environment = Object.entries(environmentOf(name, known))
    .filter(([setting]) => !ownSettings.includes(setting))
    .map(([setting, value]): [string, string] => [setting, example(value)]);
  const kinds = secretsOf(name, parameters);
  const secrets = kinds.flatMap((kind) => (kind === 'htpasswd' ? [] : Object.entries(secretSettings[kind])));
  const passwords = kinds.includes('upstreams') ? passwordSettings(parameters) : [];
  try {
    const settings = {
      ...Object.fromEntries<string>([...environment, ...secrets]),
      ...Object.fromEntries(passwords.map((setting) => [setting, 'password'])),
      AWS_LAMBDA_FUNCTION_NAME: name,
    };
    loadConfig(isHttpFunction(name) ? 'functions' : 'maintenance', settings, {
      signs: kinds.includes('http'),
    });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults.map((fault) => `settings: ${fault}`);
    throw error;
  }
}

/** A value as it may be in the deployed function. */
function example(value: Value): string {
  if (value === instanceAddress) return '192.0.2.1';
  if (typeof value !== 'object') return String(value);
  return JSON.stringify(Object.values(value)[0])
    .slice(1, -1)
    .replaceAll('${AWS::Partition}', 'aws')
    .replaceAll('${AWS::Region}', 'us-east-1')
    .replaceAll('${AWS::AccountId}', '123456789012');
}
