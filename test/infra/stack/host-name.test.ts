import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { templateOf } from '../../../infra/stack/stack.ts';
import { parametersWith } from './examples.ts';

describe('the template of a stack', () => {
  it('makes the certificate and the record of a host name, or says where the name must lead', () => {
    const named = {
      host: 'a.example.com',
      certificate: 'arn:aws:acm:eu-central-1:123456789012:certificate/0a1b',
    };
    const withZone = templateOf(parametersWith({ ...named, hostedZone: 'Z1' }));
    assert.equal(withZone.Resources['HostRecord']?.Type, 'AWS::Route53::RecordSet');
    assert.equal(withZone.Outputs['RegistryUrl']?.Value, 'https://a.example.com');
    const without = templateOf(parametersWith(named));
    assert.equal(without.Resources['HostRecord'], undefined);
    assert.deepEqual(without.Outputs['DnsRecord']?.Value, {
      'Fn::GetAtt': ['Domain', 'RegionalDomainName'],
    });
  });
});
