import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/config.ts';
import { faultsOf } from './faults.ts';

const policy = {
  REGISTRY_AUTH: 'policy',
  REGISTRY_AUTH_POLICY_PATH: '/etc/stowage/policy.yaml',
  REGISTRY_HTTP_SECRET: 'a'.repeat(32),
};

describe('REGISTRY_RETENTION', () => {
  it('names a file or a key in the bucket, one of them and not where the images are', () => {
    const location = (environment: Record<string, string>) => loadConfig('server', environment).retention;
    assert.equal(location({}), undefined);
    assert.deepEqual(location({ REGISTRY_RETENTION_PATH: '/etc/rules.yaml' }), {
      kind: 'file',
      path: '/etc/rules.yaml',
    });
    assert.deepEqual(location({ REGISTRY_RETENTION_OBJECT: 'stowage/rules.yaml' }), {
      kind: 'object',
      key: 'stowage/rules.yaml',
    });
    const both = { REGISTRY_RETENTION_PATH: '/rules.yaml', REGISTRY_RETENTION_OBJECT: 'rules.yaml' };
    assert.match(faultsOf(both).join(), /^REGISTRY_RETENTION_OBJECT: .*remove one/);
    assert.match(
      faultsOf({ REGISTRY_RETENTION_OBJECT: 'docker/x' }).join(),
      /^REGISTRY_RETENTION_OBJECT: must/,
    );
  });

  it('is refused beside a policy, which has the rules', () => {
    assert.deepEqual(loadConfig('server', policy).retention, {
      kind: 'file',
      path: '/etc/stowage/policy.yaml',
    });
    assert.match(
      faultsOf({ ...policy, REGISTRY_RETENTION_PATH: '/rules.yaml' }).join(),
      /^REGISTRY_RETENTION_PATH: with REGISTRY_AUTH=policy these rules are sections of the policy/,
    );
  });
});
