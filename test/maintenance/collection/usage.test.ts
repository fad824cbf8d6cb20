import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { look } from '../../../lib/maintenance/collection/look.ts';
import { Usage } from '../../../lib/maintenance/collection/usage.ts';
import { MemoryStore } from '../../registry/memory-store.ts';
import { about, FilledBucket } from './filled-bucket.ts';

describe('what is used', () => {
  it('is own and shared bytes of namespaces, repositories and tags, each counted once', async () => {
    const store = new MemoryStore();
    const bucket = new FilledBucket(store);
    const base = await bucket.layer('team/app', 'base');
    const app = await bucket.image('team/app', 'app', [base, await bucket.layer('team/app', 'app-layer')]);
    await bucket.image('team/app', 'sbom', [], about(app));
    const next = await bucket.image('team/app', 'next', [base]);
    await bucket.image('team/app', 'untagged', [base, await bucket.layer('team/app', 'untagged-layer')]);
    await bucket.tag('team/app', 'v1', app);
    await bucket.tag('team/app', 'v2', next);
    await bucket.tag('team/app', 'latest', next);
    await bucket.layerLink('team/tool', base);
    await bucket.tag('team/tool', 'v1', await bucket.image('team/tool', 'tool', [base]));
    const single = await bucket.layer('single', 'single-layer');
    await bucket.layerLink('team/tool', single);
    await bucket.bytes(bucket.some('lost'));

    const usage = new Usage(true);
    await look(store, {}, usage);
    const size = (...names: string[]) => bucket.sizeOf(...names);
    const ofApp = ['app', 'app-config', 'app-layer', 'sbom', 'sbom-config', 'next', 'next-config'];
    const untagged = ['untagged', 'untagged-config', 'untagged-layer'];
    assert.deepEqual(Object.fromEntries(usage.namespaces), {
      single: { own: 0, shared: size('single-layer') },
      team: { own: size(...ofApp, ...untagged, 'base', 'tool', 'tool-config'), shared: size('single-layer') },
    });
    assert.deepEqual(usage.repositories, [
      { name: 'single', own: 0, shared: size('single-layer') },
      { name: 'team/app', own: size(...ofApp, ...untagged), shared: size('base') },
      { name: 'team/tool', own: size('tool', 'tool-config'), shared: size('base', 'single-layer') },
    ]);
    const nextSize = size('next', 'next-config', 'base');
    assert.deepEqual(usage.byTag, [
      { repository: 'team/app', tag: 'latest', own: 0, shared: nextSize },
      {
        repository: 'team/app',
        tag: 'v1',
        own: size('app', 'app-config', 'app-layer', 'sbom', 'sbom-config'),
        shared: size('base'),
      },
      { repository: 'team/app', tag: 'v2', own: 0, shared: nextSize },
      { repository: 'team/tool', tag: 'v1', own: size('tool', 'tool-config'), shared: size('base') },
      { repository: 'single', tag: undefined, own: 0, shared: size('single-layer') },
      // All tags need its base.
      { repository: 'team/app', tag: undefined, own: size(...untagged), shared: 0 },
      { repository: 'team/tool', tag: undefined, own: 0, shared: size('single-layer') },
    ]);
    assert.deepEqual(usage.unlinked, { blobs: 1, bytes: size('lost') });
    assert.deepEqual(usage.damaged, []);
    const all = [...ofApp, ...untagged, 'base', 'tool', 'tool-config', 'single-layer', 'lost'];
    assert.deepEqual(usage.total, { repositories: 3, blobs: all.length, bytes: size(...all) });
  });
});
