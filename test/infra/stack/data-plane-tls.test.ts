import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { templateOf } from '../../../infra/stack/stack.ts';
import { certificate, examples } from './examples.ts';

type Values = Readonly<Record<string, unknown>>;

/** Between clients, CloudFront, the gateway and the load balancer. */
describe('TLS before Fargate', () => {
  const { Resources } = templateOf(examples['Fargate'] ?? assert.fail());
  const config = Resources['Distribution']?.Properties?.['DistributionConfig'] as Values;

  it('is all that CloudFront speaks with clients, from version 1.2', () => {
    const behaviors = [
      config['DefaultCacheBehavior'],
      ...(config['CacheBehaviors'] as unknown[]),
    ] as Values[];
    assert.equal(behaviors.length, 2);
    for (const { ViewerProtocolPolicy } of behaviors) assert.equal(ViewerProtocolPolicy, 'redirect-to-https');
    // https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/secure-connections-supported-viewer-protocols-ciphers.html
    assert.deepEqual(config['ViewerCertificate'], {
      AcmCertificateArn: certificate.replace('eu-central-1', 'us-east-1'),
      MinimumProtocolVersion: 'TLSv1.2_2021',
      SslSupportMethod: 'sni-only',
    });
  });

  it('is all that CloudFront speaks with the functions and the data plane, in version 1.2', () => {
    const origins = config['Origins'] as { CustomOriginConfig: Values }[];
    assert.equal(origins.length, 2);
    for (const { CustomOriginConfig } of origins) {
      assert.equal(CustomOriginConfig['OriginProtocolPolicy'], 'https-only');
      assert.deepEqual(CustomOriginConfig['OriginSSLProtocols'], ['TLSv1.2']);
    }
  });

  it('is all that the load balancer takes, from version 1.2', () => {
    const listeners = Object.values(Resources)
      .filter(({ Type }) => Type === 'AWS::ElasticLoadBalancingV2::Listener')
      .map(({ Properties }) => Properties ?? {});
    assert.equal(listeners.length, 1);
    for (const { Protocol, Port, SslPolicy, Certificates } of listeners) {
      assert.deepEqual([Protocol, Port], ['HTTPS', 443]);
      // https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
      assert.equal(SslPolicy, 'ELBSecurityPolicy-TLS13-1-2-2021-06');
      assert.deepEqual(Certificates, [{ CertificateArn: certificate }]);
    }
  });
});
