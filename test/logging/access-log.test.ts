import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultLog, type LogConfig } from '../../lib/config/log.ts';
import { createAccessLog } from '../../lib/logging/access-log.ts';
import { runNode } from '../infra/run-node.ts';

const modules = new URL('../../lib/logging/', import.meta.url);
const prelude = `
  import { createAccessLog } from '${new URL('access-log.ts', modules).href}';
  import { createLogger } from '${new URL('logger.ts', modules).href}';
`;

/** What a program writes that logs. */
async function outputOf(config: LogConfig, program: string): Promise<string> {
  const code = `${prelude} const config = ${JSON.stringify(config)}; ${program}`;
  const { output, errors } = await runNode(['--input-type=module-typescript', '--eval', code], {});
  assert.equal(errors, '');
  return output;
}

describe('the access log', () => {
  for (const formatter of ['json', 'text'] as const)
    it(`has lines as the other log has, in ${formatter}`, async () => {
      const config = { ...defaultLog, formatter, fields: { environment: 'staging' } };
      const fields = { id: 'a\u2028"b\u0085', actor: undefined, status: 200, cut: true };
      const text = await outputOf(
        config,
        `const fields = ${JSON.stringify(fields)};
        createLogger(config).info(fields, 'request');
        createAccessLog(config, false)(fields);`,
      );
      const [other, own, ...more] = text.replaceAll(/\d{4}-[^",\s]+Z/g, 'T').split('\n');
      assert.match(String(own), /staging.*200/);
      assert.equal(own, other);
      assert.deepEqual(more, ['']);
    });

  it('writes lines in order: after a moment, when there are many, and before the end of the process', async () => {
    const text = await outputOf(
      defaultLog,
      `const log = createAccessLog(config, true);
      log({ id: '1' });
      log({ id: '2' });
      console.log('waits');
      setTimeout(() => {
        console.log('later');
        log({ id: '3', agent: 'x'.repeat(65_000) });
        log({ id: '4', agent: 'x'.repeat(1_000) });
        console.log('many');
        log({ id: '5' });
        console.log('ends');
        process.exit(0);
      }, 200);`,
    );
    assert.deepEqual(text.match(/"id":"\d"|waits|later|many|ends/g), [
      'waits',
      '"id":"1"',
      '"id":"2"',
      'later',
      '"id":"3"',
      '"id":"4"',
      'many',
      'ends',
      '"id":"5"',
    ]);
  });

  it('is off where the settings say so, or the level is above info', () => {
    assert.equal(createAccessLog({ ...defaultLog, accessLog: false }, true), undefined);
    assert.equal(createAccessLog({ ...defaultLog, level: 'warn' }, true), undefined);
    assert.notEqual(createAccessLog({ ...defaultLog, level: 'debug' }, true), undefined);
  });
});
