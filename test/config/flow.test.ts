import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { parseFlow } from '../../lib/config/flow.ts';
import { ConfigError, Settings } from '../../lib/config/settings.ts';

const texts = [
  '[]',
  '{}',
  '[a]',
  '[ a , b ,]',
  "[\"a, b\", 'it''s', c d]",
  '[/etc/ca.pem, /etc/other ca.pem]',
  '[10.0.0.0/8, ::1, fd00::/8]',
  '[1, -2, 2.5, true, false, null, 010, 1.2.3.4, 10s, 0x1g]',
  '{X-Content-Type-Options: [nosniff]}',
  '{"a":[1,{"b":null}],"c":"d"}',
  '{a: {b: [c, {d: e}]}, "f g": h}',
  '[{file: /tmp/down, interval: 10s, threshold: 3}]',
  '[{uri: "http://127.0.0.1:80/a?b=c", headers: {Authorization: [Basic YTpi]}, statuscode: 200}]',
  '{Strict-Transport-Security: ["max-age=63072000; includeSubDomains"]}',
  '{a: http://example.com:80/, b: c}',
  'text',
];

describe('parseFlow', () => {
  it('reads lists and maps as YAML does', () => {
    // But 010 is a number in YAML, and a text in JSON.
    for (const text of texts) assert.deepEqual(parseFlow(text), parse(text.replace('010', '"010"')), text);
  });

  it('keeps a key named __proto__ as data', () => {
    const read = parseFlow('{__proto__: [a]}') as object;
    assert.deepEqual(Object.keys(read), ['__proto__']);
    assert.equal(Object.getPrototypeOf(read), Object.prototype);
  });

  const broken: readonly (readonly [string, RegExp])[] = [
    ['[secret', /"," or "\]" is missing/],
    ['[secret]]', /after the end/],
    ['[secret, , b]', /value is missing/],
    ['{secret}', /":" is missing/],
    ['{secret: b, secret: c}', /twice/],
    ['["secret]', /quote is missing/],
    ['["secret\\x", b]', /escape/],
    [`${'['.repeat(100_000)}secret`, /nested too deeply/],
  ];
  for (const [text, reason] of broken)
    it(`refuses ${text.slice(0, 24)} and does not repeat it`, () => {
      const settings = new Settings({ REGISTRY_HTTP_HEADERS: text });
      assert.equal(settings.json('REGISTRY_HTTP_HEADERS'), undefined);
      assert.throws(
        () => {
          settings.finish();
        },
        (error) =>
          error instanceof ConfigError &&
          error.faults.length === 1 &&
          reason.test(error.message) &&
          error.message.includes('REGISTRY_HTTP_HEADERS: ') &&
          !error.message.includes('secret'),
      );
    });

  it('has no value where the setting is empty', () => {
    assert.equal(new Settings({ REGISTRY_HTTP_HEADERS: ' ' }).json('REGISTRY_HTTP_HEADERS'), undefined);
  });
});
