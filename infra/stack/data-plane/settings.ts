import { storageSettings, withoutAccess } from '../environment.ts';
import { queueSettings } from '../events.ts';
import type { Parameters } from '../parameters.ts';
import { secretName, secretsOf } from '../secrets.ts';
import { sub, type Value } from '../template.ts';

/** Seconds between the checks of a server, each of which lists the bucket: with the default of ten they would cost $1.30 a month. */
export const checkSeconds = 60;

/** Settings of the data plane, wherever it runs. None is secret. */
export function dataPlaneSettings(parameters: Parameters): Readonly<Record<string, Value>> {
  const { host = '', region, settings, secretsRevision } = parameters;
  const secrets = secretsOf('data-plane', parameters).map((kind) => secretName(parameters, kind));
  return {
    REGISTRY_HEALTH_STORAGEDRIVER_INTERVAL: `${checkSeconds}s`,
    ...withoutAccess(settings),
    ...storageSettings(parameters),
    ...queueSettings(parameters),
    // The SDK has the region of a function's environment, but not of an instance.
    AWS_REGION: region,
    REGISTRY_HTTP_HOST: `https://${host}`,
    REGISTRY_SECRETS: secrets.join(','),
    // Changed settings start it anew, so that it reads the secrets again.
    SECRETS_REVISION: secretsRevision,
  };
}

/** The host of an image in a registry of ECR, to which the role of its reader is the login. */
export function ecrOf(
  image: string,
):
  | { readonly host: string; readonly account: string; readonly region: string; readonly name: string }
  | undefined {
  const form = /^((\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?)\/([^:@]+)/;
  const [, host, account = '', region = '', name = ''] = form.exec(image) ?? [];
  return host === undefined ? undefined : { host, account, region, name };
}

/** The policy of whoever pulls an image, if that is in ECR: images elsewhere must be public. */
export function imagePolicies(image: string): readonly Readonly<Record<string, Value>>[] {
  const ecr = ecrOf(image);
  if (ecr === undefined) return [];
  const repository = `arn:\${AWS::Partition}:ecr:${ecr.region}:${ecr.account}:repository/${ecr.name}`;
  const Statement = [
    // It has no other resource (service authorization reference of ECR).
    { Effect: 'Allow', Action: ['ecr:GetAuthorizationToken'], Resource: '*' },
    {
      Effect: 'Allow',
      Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
      Resource: sub(repository),
    },
  ];
  return [{ PolicyName: 'image', PolicyDocument: { Version: '2012-10-17', Statement } }];
}
