import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { templateOf } from '../../../infra/stack/stack.ts';
import { certificate, parametersWith } from './examples.ts';

const named = { host: 'a.example.com', certificate };

describe('the template of a stack', () => {
  it('gives the gateway a host name with its certificate, and makes the record or says where the name must lead', () => {
    const withZone = templateOf(parametersWith({ ...named, hostedZone: 'Z1' }));
    const { Domain, DomainMapping, HostRecord } = withZone.Resources;
    assert.deepEqual(Domain, {
      Type: 'AWS::ApiGatewayV2::DomainName',
      Properties: {
        DomainName: named.host,
        DomainNameConfigurations: [
          { CertificateArn: certificate, EndpointType: 'REGIONAL', SecurityPolicy: 'TLS_1_2' },
        ],
      },
    });
    // With the ids that osls gives the API and its stage, which test/infra/stack/serverless.test.ts looks for.
    assert.deepEqual(DomainMapping, {
      Type: 'AWS::ApiGatewayV2::ApiMapping',
      Properties: {
        ApiId: { Ref: 'HttpApi' },
        DomainName: { Ref: 'Domain' },
        Stage: { Ref: 'HttpApiStage' },
      },
    });
    assert.deepEqual(HostRecord, {
      Type: 'AWS::Route53::RecordSet',
      Properties: {
        HostedZoneId: 'Z1',
        Name: named.host,
        Type: 'A',
        AliasTarget: {
          DNSName: { 'Fn::GetAtt': ['Domain', 'RegionalDomainName'] },
          HostedZoneId: { 'Fn::GetAtt': ['Domain', 'RegionalHostedZoneId'] },
        },
      },
    });
    assert.equal(withZone.Outputs['RegistryUrl']?.Value, 'https://a.example.com');
    const without = templateOf(parametersWith(named));
    assert.deepEqual(without.Resources['Domain'], Domain);
    assert.deepEqual(without.Resources['DomainMapping'], DomainMapping);
    assert.equal(without.Resources['HostRecord'], undefined);
    assert.deepEqual(without.Outputs['DnsRecord']?.Value, {
      'Fn::GetAtt': ['Domain', 'RegionalDomainName'],
    });
  });
});
