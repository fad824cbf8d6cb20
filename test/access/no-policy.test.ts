import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { send } from '../functions/client.ts';
import { startPolicyRegistry } from './policy-server.ts';

describe('a registry that has never had a valid policy', () => {
  it('answers 503, and strangers do not fill its log with errors', async () => {
    const lines: string[] = [];
    const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
    const registry = await startPolicyRegistry('rules: [', [], { replace: () => ({ log }) });
    try {
      for (const path of ['/v2/', '/token'])
        assert.equal((await send(registry.url, { method: 'GET', path })).status, 503);
      const levels = lines.map((line) => (JSON.parse(line) as { level: number }).level);
      assert.deepEqual(levels, [pino.levels.values['warn'], pino.levels.values['warn']]);
      assert.ok(!lines.join('').includes('stack'), lines.join(''));
    } finally {
      await registry.stop();
    }
  });
});
