/** Many concurrent slow, stalled and greedy clients. The limits are three times the figures of `npm run bench:load`. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { temporaryFolder } from '../servers/folder.ts';
import { memory, peakMemory } from '../servers/memory.ts';
import { serve } from '../servers/stowage.ts';
import { putLoad, usualLoad } from './load.ts';

describe('the streaming server', () => {
  it('keeps its memory and serves others with 1,500 slow readers, 64 stalled uploads and many large manifests', async () => {
    const folder = await temporaryFolder('load');
    const server = await serve(folder.path, { REGISTRY_LOG_LEVEL: 'error' });
    const { uploads, manifests, pings } = await putLoad(`http://${server.address}`, {
      ...usualLoad,
      manifests: 30,
    });
    const peak = await peakMemory(server.pid);
    await delay(10_000);
    const after = await memory(server.pid);
    await server.stop();
    folder.remove();
    assert.ok(peak < 1200e6, `${peak} bytes`);
    assert.ok(after < 600e6, `${after} bytes 10 s after`);
    assert.ok(pings.p99 < 300, `${pings.p99} ms`);
    // On a slow machine, an upload that stalls too long gets an error.
    assert.deepEqual(
      [...uploads.keys()].filter((status) => status !== '408'),
      ['201'],
    );
    // So does a manifest that waited too long for its turn.
    assert.deepEqual(
      [...manifests.keys()].filter((status) => status !== 503),
      [201],
    );
  });
});
