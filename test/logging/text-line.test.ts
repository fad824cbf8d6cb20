import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { textLine } from '../../lib/logging/text-line.ts';

const line = (fields: object) =>
  textLine(JSON.stringify({ level: 'info', time: '2026-11-24T10:00:00.000Z', ...fields }));

describe('a line of the log as text', () => {
  it('has time, level and message first', () => {
    assert.equal(
      line({ path: '/v2/a', msg: 'a request failed' }),
      'time=2026-11-24T10:00:00.000Z level=info msg="a request failed" path=/v2/a\n',
    );
  });

  it('names the fields of an error by their path, and lists as one text', () => {
    assert.match(
      line({ err: { message: 'no such key', code: 404 }, on: ['a', 'b'] }),
      / err\.message="no such key" err\.code=404 on="a, b"\n$/,
    );
  });

  it('stays one line, whatever a client sends', () => {
    const hostile = line({ agent: 'x"\n\r\u2028\u0000 level=error msg="forged', msg: 'request' });
    assert.equal(hostile.split(/[\n\r\u2028]/).length, 2);
    assert.match(hostile, /agent="x\\"\\n\\r/);
  });
});
