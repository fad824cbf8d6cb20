import { readFileSync } from 'node:fs';
import { aliasRecord } from './alias-record.ts';
import type { Parameters } from './parameters.ts';
import { attribute, sub, type Resource, type Template, type Value } from './template.ts';

/** Managed policies: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-cache-policies.html */
const policies = {
  cachingDisabled: '4135ea2d-6df8-44a3-9df3-4b5a84be39ad',
  /** With `Authorization`, which no policy can name. */
  allViewer: '216adef6-5c7f-47e4-b989-5492eafa07d3',
  /** API Gateway knows itself by its own host only. */
  allViewerExceptHostHeader: 'b689b0a8-53d0-40ab-baf2-68738e2966ac',
} as const;

/** The hosted zone of all distributions: https://docs.aws.amazon.com/general/latest/gr/cf_region.html */
const cloudFrontZone = 'Z2FDTNDATAQYW2';

/**
 * Errors that CloudFront would repeat for 10 s, whatever the cache policy: a layer would be missing after its push.
 * https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/HTTPStatusCodes.html
 */
const cachedErrors = [404, 414, 500, 501, 502, 503, 504];

/** What gives an answer to HEAD its length back, below the folder of serverless.yml. */
const viewerResponse = 'infra/stack/edge/viewer-response.js';

/** CloudFront as the one address of both planes, if it is asked for. */
export function cloudfront(parameters: Parameters): Template {
  const { stage, region, host = '', hostedZone, address } = parameters;
  if (address !== 'cloudfront') return { Resources: {} };
  return {
    Resources: {
      ViewerResponse: {
        Type: 'AWS::CloudFront::Function',
        Properties: {
          // Unique in the account, in all regions.
          Name: `stowage-${stage}-${region}-viewer-response`,
          AutoPublish: true,
          FunctionCode: readFileSync(viewerResponse, 'utf8'),
          FunctionConfig: {
            Comment: 'The length of answers to HEAD',
            Runtime: 'cloudfront-js-2.0',
          },
        },
      },
      Distribution: {
        Type: 'AWS::CloudFront::Distribution',
        Properties: { DistributionConfig: distribution(parameters) },
      },
      ...(hostedZone !== undefined && records(host, hostedZone)),
    },
    ...(hostedZone === undefined && {
      Outputs: {
        DnsRecord: {
          Description: `The name that ${host} must lead to, by a CNAME record`,
          Value: attribute('Distribution', 'DomainName'),
        },
      },
    }),
  };
}

function distribution(parameters: Parameters): Value {
  const { stage, host = '', certificate = '', dataPlane } = parameters;
  const withDataPlane = dataPlane !== 'none';
  return {
    Comment: `Stowage, stage ${stage}`,
    Enabled: true,
    IPV6Enabled: true,
    Aliases: [host],
    // Of HTTP/1.1 it is documented that CloudFront passes a body on whose length is not announced, as docker sends it.
    HttpVersion: 'http1.1',
    ViewerCertificate: {
      AcmCertificateArn: certificate,
      MinimumProtocolVersion: 'TLSv1.2_2021',
      SslSupportMethod: 'sni-only',
    },
    Origins: [
      // The gateway gives up after 30 s.
      origin('functions', sub('${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}'), 35),
      // A commit may copy a large layer. CloudFront waits no longer without a raised quota.
      ...(withDataPlane ? [origin('data-plane', attribute('DataPlaneBalancer', 'DNSName'), 120)] : []),
    ],
    DefaultCacheBehavior: {
      ...behavior('functions', policies.allViewerExceptHostHeader),
      FunctionAssociations: [
        { EventType: 'viewer-response', FunctionARN: attribute('ViewerResponse', 'FunctionARN') },
      ],
    },
    CacheBehaviors: withDataPlane
      ? [
          {
            // Uploads in progress; an upload starts at a path with nothing after the slash.
            PathPattern: '/v2/*/blobs/uploads/?*',
            // The load balancer's certificate is that of the host, by which CloudFront checks it.
            ...behavior('data-plane', policies.allViewer),
          },
        ]
      : [],
    CustomErrorResponses: cachedErrors.map((ErrorCode) => ({ ErrorCode, ErrorCachingMinTTL: 0 })),
  };
}

function origin(id: string, domainName: Value, readTimeout: number): Value {
  return {
    Id: id,
    DomainName: domainName,
    CustomOriginConfig: {
      OriginProtocolPolicy: 'https-only',
      OriginSSLProtocols: ['TLSv1.2'],
      OriginReadTimeout: readTimeout,
      OriginKeepaliveTimeout: 60,
    },
  };
}

function behavior(target: string, originRequestPolicy: string) {
  return {
    TargetOriginId: target,
    AllowedMethods: ['GET', 'HEAD', 'OPTIONS', 'PUT', 'PATCH', 'POST', 'DELETE'],
    CachePolicyId: policies.cachingDisabled,
    OriginRequestPolicyId: originRequestPolicy,
    ViewerProtocolPolicy: 'redirect-to-https',
    Compress: false,
  } as const;
}

function records(host: string, hostedZone: string): Record<string, Resource> {
  const record = (type: 'A' | 'AAAA') =>
    aliasRecord({ host, hostedZone, type }, attribute('Distribution', 'DomainName'), cloudFrontZone);
  return { DistributionRecord: record('A'), DistributionRecordV6: record('AAAA') };
}
