import { readParameters, type Parameters } from '../../../infra/stack/parameters.ts';
import { settingFaults } from '../../../infra/stack/settings-check.ts';

/** Parameters of a stage `dev` with these of the command line. */
export function parametersWith(overrides: Readonly<Record<string, string>> = {}): Parameters {
  return readParameters({ stage: 'dev', region: 'eu-central-1', overrides, checkSettings: settingFaults });
}

export const certificate = 'arn:aws:acm:eu-central-1:123456789012:certificate/0a1b';

/** CloudFront takes no others. */
const edgeCertificate = certificate.replace('eu-central-1', 'us-east-1');

const plane = { host: 'a.example.com', image: '123456789012.dkr.ecr.eu-central-1.amazonaws.com/stowage:1' };

const key = 'arn:aws:kms:eu-central-1:123456789012:key/1';

/** Deployments that differ in what they make. */
export const examples: Readonly<Record<string, Parameters>> = {
  'the defaults': parametersWith(),
  'a bucket that is there': parametersWith({ existingBucket: 'images', rootDirectory: 'team/images' }),
  'a read-only registry': parametersWith({ REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: 'true' }),
  'no deletes': parametersWith({ REGISTRY_STORAGE_DELETE_ENABLED: 'false' }),
  'a key of KMS': parametersWith({ REGISTRY_STORAGE_S3_ENCRYPT: 'true', REGISTRY_STORAGE_S3_KEYID: key }),
  'users of a password file': parametersWith({ auth: 'htpasswd' }),
  'no access control': parametersWith({ auth: 'none' }),
  'MySQL in a VPC': parametersWith({
    search: 'mysql',
    subnets: 'subnet-0a,subnet-0b',
    securityGroups: 'sg-1',
  }),
  SCS: parametersWith({ storage: 'scs', scsBucket: 'images', scsRegion: 'bjcnc' }),
  'a host name': parametersWith({ host: 'a.example.com', certificate, hostedZone: 'Z1' }),
  'an instance': parametersWith({ ...plane, dataPlane: 'instance', hostedZone: 'Z1' }),
  CloudFront: parametersWith({ host: plane.host, address: 'cloudfront', certificate: edgeCertificate }),
  Fargate: parametersWith({
    ...plane,
    dataPlane: 'fargate',
    certificate: edgeCertificate,
    loadBalancerCertificate: certificate,
  }),
  'garbage collection': parametersWith({ REGISTRY_GC_ENABLED: 'true', REGISTRY_GC_EXCLUSIVE: 'true' }),
  'endpoints of events': parametersWith({
    eventQueue: 'true',
    REGISTRY_NOTIFICATIONS_ENDPOINTS: JSON.stringify([
      { name: 'builds', url: 'https://ci.example.com/events' },
      { name: 'audit', url: 'arn:aws:sqs:eu-central-1:123456789012:audit' },
      { name: 'bus', url: 'arn:aws:events:eu-central-1:123456789012:event-bus/default' },
    ]),
  }),
  upstreams: parametersWith({
    REGISTRY_PROXY_UPSTREAMS: JSON.stringify([
      { prefix: 'docker-hub/**', url: 'https://registry-1.docker.io', username: 'robot' },
      { prefix: 'ghcr/**', url: 'https://ghcr.io' },
    ]),
  }),
  'SCS and upstreams': parametersWith({
    ...{ storage: 'scs', scsBucket: 'images', scsRegion: 'bjcnc' },
    REGISTRY_PROXY_UPSTREAMS: '[{prefix: ghcr/**, url: "https://ghcr.io"}]',
  }),
  'rules of their own': parametersWith({
    auth: 'htpasswd',
    REGISTRY_RETENTION_OBJECT: 'stowage/retention.yaml',
  }),
  mails: parametersWith({ alarmEmail: 'ops@example.com' }),
};
