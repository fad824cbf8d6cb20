import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import {
  loadParameters,
  ParameterError,
  readParameters,
  type ParameterSources,
} from '../../../infra/stack/parameters.ts';
import { temporaryFolder } from '../../servers/folder.ts';

const read = (overrides: Readonly<Record<string, string>> = {}, sources: Partial<ParameterSources> = {}) =>
  readParameters({ stage: 'dev', region: 'eu-central-1', overrides, ...sources });

const withFile = (text: string, overrides: Readonly<Record<string, string>> = {}) =>
  read(overrides, { file: { path: 'stages/dev.yml', text } });

/** @returns the faults of parameters that are refused */
const faultsOf = (refused: () => unknown): readonly string[] => {
  try {
    refused();
  } catch (error) {
    assert.ok(error instanceof ParameterError, String(error));
    for (const fault of error.faults) assert.ok(error.message.includes(fault));
    return error.faults;
  }
  return assert.fail('they are accepted');
};

const certificate = 'arn:aws:acm:eu-central-1:123456789012:certificate/0a1b';
const forCloudFront = certificate.replace('eu-central-1', 'us-east-1');
const host = 'a.example.com';
const image = 'ghcr.io/team/stowage:1.0.0';
const instance = { host, image, dataPlane: 'instance' };
const fargate = {
  host,
  image,
  dataPlane: 'fargate',
  certificate: forCloudFront,
  loadBalancerCertificate: certificate,
};

describe('the parameters of a deployment', () => {
  it('need nothing but a stage and a region', () => {
    const { settings, publicKeys, subnets, securityGroups, ...rest } = read();
    assert.deepEqual([settings, publicKeys, subnets, securityGroups], [{}, [], [], []]);
    const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
    assert.deepEqual(given, {
      stage: 'dev',
      region: 'eu-central-1',
      storage: 's3',
      rootDirectory: '',
      auth: 'policy',
      search: 'bucket',
      dataPlane: 'none',
      address: 'gateway',
      instanceType: 't4g.micro',
      eventQueue: false,
      throttleRate: 500,
      throttleBurst: 1000,
      logRetentionDays: 30,
      secretsRevision: '1',
    });
  });

  it('are read from the file of the stage, and the command line comes first', () => {
    const text = `
auth: none
throttleRate: 50
subnets: [subnet-0a, subnet-0b]
securityGroups: [sg-1]
settings:
  REGISTRY_LOG_LEVEL: debug
  REGISTRY_LOG_FIELDS: { environment: staging }
  REGISTRY_STORAGE_DELETE: { enabled: false }
`;
    const parameters = withFile(text, {
      auth: 'htpasswd',
      REGISTRY_LOG_LEVEL: 'warn',
      publicKeys: `${'a'.repeat(43)},${'b'.repeat(43)}`,
    });
    assert.equal(parameters.auth, 'htpasswd');
    assert.equal(parameters.throttleRate, 50);
    assert.deepEqual(parameters.subnets, ['subnet-0a', 'subnet-0b']);
    assert.deepEqual(parameters.publicKeys, ['a'.repeat(43), 'b'.repeat(43)]);
    assert.deepEqual(parameters.settings, {
      REGISTRY_LOG_LEVEL: 'warn',
      REGISTRY_LOG_FIELDS: '{"environment":"staging"}',
      REGISTRY_STORAGE_DELETE_ENABLED: 'false',
    });
  });

  it('may have a file of the stage, below stages/', async () => {
    const folder = await temporaryFolder('stages');
    after(() => {
      folder.remove();
    });
    const at = { stage: 'dev', region: 'eu-central-1' };
    assert.equal(loadParameters(folder.path, at).auth, 'policy');
    await mkdir(join(folder.path, 'stages'));
    await writeFile(join(folder.path, 'stages/dev.yml'), 'auth: none');
    assert.equal(loadParameters(folder.path, at).auth, 'none');
    assert.equal(loadParameters(folder.path, { ...at, stage: 'other' }).auth, 'policy');
  });

  it('are refused together, in one message', () => {
    const faults = faultsOf(() =>
      withFile('autH: none\nbucket: Images\nthrottleBurst: many\n', {
        dataPlane: 'instanze',
        existingBucket: 'images',
        logRetentionDays: '31',
        host: 'https://registry.example.com',
      }),
    );
    assert.deepEqual(
      faults.map((fault) => fault.split(':', 1)[0]),
      [
        'existingBucket',
        'bucket',
        'logRetentionDays',
        'throttleBurst',
        'dataPlane',
        'host',
        'certificate',
        'autH',
      ],
    );
    assert.match(faults.at(-1) ?? '', /did you mean auth\?/);
  });

  it('do not repeat what may be a secret', () => {
    const secret = `pass word ${'x'.repeat(90)}`;
    assert.doesNotMatch(faultsOf(() => read({ auth: secret })).join(), /xxx/);
  });

  for (const [what, overrides, sources] of [
    ['a stage in capitals', {}, { stage: 'Dev' }],
    ['a stage with the name of a role of CI', {}, { stage: 'ci-preview' }],
    ['a stage that is too long for the names of functions', {}, { stage: 'a'.repeat(21) }],
    ['a stage that leaves the folder', {}, { stage: '../dev' }],
    ['a region that is none', {}, { region: 'europe' }],
    ['a data plane without a host name', { ...instance, host: '' }, {}],
    ['a data plane without an image', { ...instance, image: '' }, {}],
    ['an image without a data plane', { image }, {}],
    ['an image that is none', { ...instance, image: 'stowage' }, {}],
    ['an instance of another architecture', { ...instance, instanceType: 't3.micro' }, {}],
    ['an instance that there is not', { ...fargate, instanceType: 't4g.small' }, {}],
    ['an instance behind CloudFront', { ...instance, certificate: forCloudFront, address: 'cloudfront' }, {}],
    ['Fargate at the gateway', { ...fargate, certificate, address: 'gateway' }, {}],
    ['CloudFront without a host name', { address: 'cloudfront' }, {}],
    ['a load balancer without a certificate', { ...fargate, loadBalancerCertificate: '' }, {}],
    [
      'a certificate that the load balancer does not take',
      { ...fargate, loadBalancerCertificate: forCloudFront },
      {},
    ],
    ['a certificate without its load balancer', { loadBalancerCertificate: certificate }, {}],
    ['blobs by CloudFront', { ...fargate, REGISTRY_STORAGE_REDIRECT_DISABLE: 'true' }, {}],
    ['a host name without a certificate', { host: 'a.example.com' }, {}],
    ['a certificate without a host name', { certificate }, {}],
    [
      'a certificate that the gateway does not take',
      { host: 'a.example.com', certificate: forCloudFront },
      {},
    ],
    ['a certificate that CloudFront does not take', { ...fargate, certificate }, {}],
    ['a certificate for an instance', { ...instance, certificate }, {}],
    ['a zone without a host name', { hostedZone: 'Z1' }, {}],
    ['SCS without its bucket', { storage: 'scs', scsRegion: 'beijing' }, {}],
    ['SCS without a place', { storage: 'scs', scsBucket: 'images' }, {}],
    ['S3 with a bucket of SCS', { scsBucket: 'images' }, {}],
    ['subnets without a security group', { subnets: 'subnet-0a' }, {}],
    ['a root directory that matches other keys', { rootDirectory: 'a*' }, {}],
    ['an address without its instance', { address: 'instance' }, {}],
    ['public keys that are none', { publicKeys: 'a' }, {}],
    ['a file that is a list', {}, { file: { path: 'stages/dev.yml', text: '- a' } }],
    ['a file that is no YAML', {}, { file: { path: 'stages/dev.yml', text: 'a: [' } }],
    ['settings that are no map', {}, { file: { path: 'stages/dev.yml', text: 'settings: [a]' } }],
  ] as const)
    it(`refuse ${what}`, () => {
      assert.equal(faultsOf(() => read(overrides, sources)).length, 1);
    });

  for (const [what, overrides, address] of [
    ['the gateway', { host: 'a.example.com', certificate, hostedZone: 'Z1' }, 'gateway'],
    ['an instance', instance, 'instance'],
    ['CloudFront', fargate, 'cloudfront'],
    [
      'CloudFront without a data plane',
      { host, certificate: forCloudFront, address: 'cloudfront' },
      'cloudfront',
    ],
  ] as const)
    it(`name a host at ${what}`, () => {
      assert.equal(read(overrides).address, address);
    });

  it('take one certificate for CloudFront and the load balancer in us-east-1', () => {
    const parameters = read({ ...fargate, loadBalancerCertificate: '' }, { region: 'us-east-1' });
    assert.equal(parameters.loadBalancerCertificate, undefined);
  });
});
