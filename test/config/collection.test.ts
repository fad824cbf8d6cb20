import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/config.ts';
import { faultsOf } from './faults.ts';

const exclusive = { REGISTRY_GC_EXCLUSIVE: 'true' };
const enabled = { ...exclusive, REGISTRY_GC_ENABLED: 'true' };

describe('REGISTRY_GC', () => {
  it('is off by default, and keeps manifests without a tag', () => {
    const { collection } = loadConfig('maintenance', {});
    assert.partialDeepStrictEqual(collection, { enabled: false, exclusive: false, deleteUntagged: false });
    const on = { ...enabled, REGISTRY_GC_DELETEUNTAGGED: 'true' };
    assert.partialDeepStrictEqual(loadConfig('maintenance', on).collection, {
      enabled: true,
      exclusive: true,
      deleteUntagged: true,
    });
  });

  it('cannot be on unless nothing else writes to the storage', () => {
    assert.match(
      faultsOf({ REGISTRY_GC_ENABLED: 'true' }, 'maintenance').join(),
      /^REGISTRY_GC_ENABLED: needs REGISTRY_GC_EXCLUSIVE=true, .*; set it, or remove REGISTRY_GC_ENABLED$/,
    );
    assert.deepEqual(faultsOf(enabled, 'maintenance'), []);
  });

  it('needs a fence in which a push can be committed', () => {
    const faults = (fence: string) => faultsOf({ REGISTRY_GC_FENCE: fence }, 'maintenance').join();
    assert.equal(
      faults('4s'),
      'REGISTRY_GC_FENCE: "4s" is not a duration from 5s to 1h, such as 10s or 1m30s',
    );
    assert.equal(faults('5s'), '');
  });

  it('has a warning where it is on in a server, which collects nothing by itself', () => {
    const about = (environment: Record<string, string>) =>
      loadConfig('server', environment).warnings.filter((warning) => warning.startsWith('REGISTRY_GC_'));
    assert.match(about(enabled).join(), /^REGISTRY_GC_ENABLED is for functions: .*stowage gc once a day$/);
    assert.deepEqual(about(exclusive), []);
  });
});
