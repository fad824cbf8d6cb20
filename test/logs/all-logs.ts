/** The last file of a whole run, which `test/run.ts` starts when all others have ended. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { kept } from './kept.ts';
import { secretsIn } from './secrets.ts';

it('no registry of any test has logged a state, a signed URL, a key or another secret', () => {
  const { logs, secrets } = kept();
  assert.ok(logs.length > 50, `only ${logs.length} logs were kept`);
  assert.ok(secrets.size > 5, `only ${secrets.size} secrets are known`);
  assert.deepEqual(
    logs.flatMap((log) =>
      log.split('\n').flatMap((line) => secretsIn(line, secrets).map((secret) => ({ secret, line }))),
    ),
    [],
  );
});
