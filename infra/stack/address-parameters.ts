import type { ParameterReader } from './parameter-reader.ts';
import { isTrue } from './setting-values.ts';

/** Where clients reach the registry, and what takes large layers. */
export interface AddressParameters {
  /** The registry's host name; undefined for that of the gateway. */
  readonly host: string | undefined;
  /** ARN of a certificate of ACM for `host`: in us-east-1 for CloudFront, else in the stack's region. */
  readonly certificate: string | undefined;
  /** ARN of one in the stack's region, for the load balancer of Fargate; undefined for `certificate`. */
  readonly loadBalancerCertificate: string | undefined;
  /** The Route 53 zone in which records of `host` are made. */
  readonly hostedZone: string | undefined;
  readonly dataPlane: 'none' | 'instance' | 'fargate';
  /** What clients connect to. */
  readonly address: 'gateway' | 'instance' | 'cloudfront';
  /** The container image of the data plane, for arm64. Defined if there is one. */
  readonly image: string | undefined;
  readonly instanceType: string;
}

/** What each data plane can be reached by; the first is the default. */
const addressesOf = {
  none: ['gateway', 'cloudfront'],
  instance: ['instance'],
  fargate: ['cloudfront'],
} as const;

const certificateForm = {
  pattern: /^arn:aws[\w-]*:acm:[a-z0-9-]+:\d{12}:certificate\/[\w-]+$/,
  what: 'the ARN of a certificate of ACM',
};

/** @param settings of the functions, some of which an address cannot do */
export function readAddress(
  reader: ParameterReader,
  region: string,
  settings: Readonly<Record<string, string>>,
): AddressParameters {
  const dataPlane = reader.choice('dataPlane', ['none', 'instance', 'fargate'], 'none');
  const address = reader.choice('address', ['gateway', 'instance', 'cloudfront'], addressesOf[dataPlane][0]);
  const parameters: AddressParameters = {
    dataPlane,
    address,
    host: reader.text('host', {
      pattern: /^(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$/,
      what: 'a host name such as registry.example.com, without https://',
    }),
    certificate: reader.text('certificate', certificateForm),
    loadBalancerCertificate: reader.text('loadBalancerCertificate', certificateForm),
    hostedZone: reader.text('hostedZone', { pattern: /^Z[A-Z0-9]{1,31}$/, what: 'the id of a hosted zone' }),
    image: reader.text('image', {
      pattern: /^[\w.-]+(:\d+)?(\/[\w.-]+)+(:[\w.-]+)?(@sha256:[0-9a-f]{64})?$/,
      what: 'an image such as ghcr.io/team/stowage:1.0.0',
    }),
    instanceType:
      reader.text('instanceType', {
        // The letter after the generation: https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html
        pattern: /^[a-z]+\d+g[a-z0-9-]*\.[a-z0-9-]+$/,
        what: 'a type of instance for arm64, such as t4g.micro',
      }) ?? 't4g.micro',
  };
  checkHost(reader, parameters);
  checkCertificate(reader, parameters, region);
  checkDataPlane(reader, parameters, region);
  if (isTrue(settings['REGISTRY_STORAGE_REDIRECT_DISABLE'])) checkRedirects(reader, parameters);
  return parameters;
}

function checkHost(
  reader: ParameterReader,
  { dataPlane, address, host, hostedZone }: AddressParameters,
): void {
  const name = `the registry's host name, such as registry.example.com, for its certificate and its URLs`;
  if (host === undefined && dataPlane !== 'none') reader.fault('host', `missing; a data plane needs ${name}`);
  else if (host === undefined && address === 'cloudfront')
    reader.fault('host', `missing; CloudFront needs ${name}`);
  if (host === undefined && hostedZone !== undefined)
    reader.fault('hostedZone', 'has no effect without host; set that, or remove it');
  const possible: readonly string[] = addressesOf[dataPlane];
  if (!possible.includes(address))
    reader.fault(
      'address',
      `${address} does not go with dataPlane=${dataPlane}; ${possible.join(' or ')} does, which is the default`,
    );
}

/** The instance has a certificate of its own. */
function checkCertificate(reader: ParameterReader, given: AddressParameters, region: string): void {
  const { address, host, certificate } = given;
  if (address === 'instance' && certificate !== undefined)
    reader.fault('certificate', 'has no effect at an instance, which gets one by itself; remove it');
  if (address === 'instance') return;
  if (host !== undefined && certificate === undefined)
    reader.fault('certificate', `missing; name the ARN of a certificate of ACM for ${host}`);
  if (host === undefined && certificate !== undefined)
    reader.fault('certificate', 'has no effect without host; set that, or remove it');
  const needed = address === 'cloudfront' ? 'us-east-1' : region;
  const found = regionOf(certificate);
  if (found !== undefined && found !== needed)
    reader.fault(
      'certificate',
      `is in ${found}, and ${address === 'cloudfront' ? 'CloudFront takes those' : 'this gateway takes those'} of ${needed} only`,
    );
}

function checkDataPlane(reader: ParameterReader, given: AddressParameters, region: string): void {
  const { dataPlane, image, loadBalancerCertificate, host = 'the host' } = given;
  if (dataPlane !== 'none' && image === undefined)
    reader.fault(
      'image',
      'missing; a data plane runs the image that npm run image builds, from a registry where this stack can pull it',
    );
  if (dataPlane === 'none' && image !== undefined)
    reader.fault('image', 'has no effect without dataPlane; set that, or remove it');
  if (dataPlane !== 'instance' && reader.has('instanceType'))
    reader.fault('instanceType', 'has no effect without dataPlane=instance; remove it');
  const balancer = 'loadBalancerCertificate';
  if (dataPlane !== 'fargate' && loadBalancerCertificate !== undefined)
    reader.fault(balancer, 'has no effect without dataPlane=fargate; remove it');
  if (dataPlane === 'fargate' && loadBalancerCertificate === undefined && region !== 'us-east-1')
    reader.fault(balancer, `missing; name the ARN of a second certificate for ${host}, in ${region}`);
  const found = regionOf(loadBalancerCertificate);
  if (found !== undefined && found !== region)
    reader.fault(balancer, `is in ${found}, and load balancers of ${region} take those of ${region} only`);
}

/** Signed URLs of blobs differ in their query only, by which CloudFront chooses no origin. */
function checkRedirects(reader: ParameterReader, { dataPlane }: AddressParameters): void {
  if (dataPlane === 'fargate')
    reader.fault(
      'settings',
      'REGISTRY_STORAGE_REDIRECT_DISABLE=true needs dataPlane=instance, which serves the blobs; remove it, and clients get them from the bucket',
    );
}

function regionOf(certificate: string | undefined): string | undefined {
  return certificate?.split(':')[3];
}
