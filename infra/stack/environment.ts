import { isHttpFunction, type FunctionName } from '../gateway.ts';
import { bucketName } from './bucket.ts';
import { proxySettings } from './data-plane/address.ts';
import { queueSettings, writers } from './events.ts';
import type { Parameters } from './parameters.ts';
import { secretArn, secretName, secretsOf, usesSearch } from './secrets.ts';
import type { Value } from './template.ts';
import { asking, copySettings, withoutUsers } from './upstreams.ts';

/** The key of the policy in the bucket, below the root directory. */
export const policyKey = 'stowage/policy.yaml';

/** For `gc`, unless a setting says otherwise: with many repositories the heap would outgrow its memory before anything is freed. */
export const limitedHeap = { NODE_OPTIONS: '--max-old-space-size=512' };

/** Environment variables of a function. None is secret. */
export function environmentOf(name: FunctionName, parameters: Parameters): Readonly<Record<string, Value>> {
  const { secretsRevision } = parameters;
  const asksUpstreams = (asking as readonly string[]).includes(name);
  const settings = asksUpstreams ? parameters.settings : withoutUsers(parameters.settings);
  const secrets = secretsOf(name, parameters);
  const read = secrets.filter((kind) => kind !== 'htpasswd').map((kind) => secretName(parameters, kind));
  return {
    ...(name === 'gc' && limitedHeap),
    ...(isHttpFunction(name) ? settings : withoutAccess(settings)),
    ...storageSettings(parameters),
    ...(usesSearch(name, parameters) && { SEARCH_BACKEND: 'MYSQL' }),
    ...(isHttpFunction(name) && { ...accessSettings(name, parameters), ...addressSettings(parameters) }),
    ...(name === 'gc' && rulesSettings(parameters)),
    ...((writers as readonly string[]).includes(name) && queueSettings(parameters)),
    ...((isHttpFunction(name) || name === 'copy') && copySettings(parameters)),
    ...(read.length > 0 && { REGISTRY_SECRETS: read.join(',') }),
    // A changed environment starts new instances, which read the secrets again.
    ...(secrets.length > 0 && { SECRETS_REVISION: secretsRevision }),
  };
}

/** Settings of jobs and of the data plane, which check no access: what refines a check that they lack would be a fault. */
export function withoutAccess(settings: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !name.startsWith('REGISTRY_AUTH_')));
}

/** Where both planes have the images. */
export function storageSettings(parameters: Parameters): Readonly<Record<string, Value>> {
  const { storage, region, rootDirectory, scsBucket = '', scsRegion, scsEndpoint } = parameters;
  if (storage === 's3')
    return {
      REGISTRY_STORAGE: 's3',
      REGISTRY_STORAGE_S3_BUCKET: bucketName(parameters) ?? '',
      REGISTRY_STORAGE_S3_REGION: region,
      // No role may write the object by which other servers are probed.
      REGISTRY_STORAGE_S3_CONDITIONALWRITES: 'true',
      ...(rootDirectory !== '' && { REGISTRY_STORAGE_S3_ROOTDIRECTORY: rootDirectory }),
    };
  return {
    REGISTRY_STORAGE: 'scs',
    REGISTRY_STORAGE_SCS_BUCKET: scsBucket,
    ...(scsRegion !== undefined && { REGISTRY_STORAGE_SCS_REGION: scsRegion }),
    ...(scsEndpoint !== undefined && { REGISTRY_STORAGE_SCS_REGIONENDPOINT: scsEndpoint }),
    ...(rootDirectory !== '' && { REGISTRY_STORAGE_SCS_ROOTDIRECTORY: rootDirectory }),
  };
}

function accessSettings(name: FunctionName, parameters: Parameters): Readonly<Record<string, Value>> {
  const { auth, publicKeys } = parameters;
  const users = { REGISTRY_AUTH_HTPASSWD_PATH: secretArn(parameters, 'htpasswd') };
  if (auth === 'none') return { REGISTRY_AUTH: 'none' };
  if (auth === 'htpasswd') return { REGISTRY_AUTH: 'htpasswd', ...users };
  return {
    REGISTRY_AUTH: 'policy',
    REGISTRY_AUTH_POLICY_OBJECT: policyKey,
    ...(name === 'token' ? users : { REGISTRY_AUTH_POLICY_PUBLICKEYS: publicKeys.join(',') }),
  };
}

/** Where a job finds the rules for retention and quotas. Without a policy, the settings of all functions name them. */
function rulesSettings({ auth }: Parameters): Readonly<Record<string, Value>> {
  return auth === 'policy' ? { REGISTRY_AUTH: 'policy', REGISTRY_AUTH_POLICY_OBJECT: policyKey } : {};
}

/** Without a host name, URLs are those of the host that a request names. */
function addressSettings(parameters: Parameters): Readonly<Record<string, Value>> {
  const { host, dataPlane } = parameters;
  if (host === undefined) return {};
  const url = `https://${host}`;
  return {
    REGISTRY_HTTP_HOST: url,
    ...(dataPlane !== 'none' && { REGISTRY_HTTP_DATAPLANE: url }),
    ...proxySettings(parameters),
  };
}
