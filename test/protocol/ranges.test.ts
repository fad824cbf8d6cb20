import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseContentRange, requestedSpan, uploadRange } from '../../lib/protocol/ranges.ts';

describe('requestedSpan', () => {
  for (const [header, span] of [
    ['bytes=0-0', { start: 0, end: 0 }],
    ['bytes=0-9', { start: 0, end: 9 }],
    ['bytes=2-5', { start: 2, end: 5 }],
    ['bytes=3-', { start: 3, end: 9 }],
    ['bytes=9-', { start: 9, end: 9 }],
    ['bytes=0-99999999999999999999999', { start: 0, end: 9 }],
    ['bytes=-3', { start: 7, end: 9 }],
    ['bytes=-10', { start: 0, end: 9 }],
    ['bytes=-11', { start: 0, end: 9 }],
    ['bytes=-99999999999999999999999', { start: 0, end: 9 }],
    ['bytes= 2 - 5', { start: 2, end: 5 }],
    ['bytes=007-008', { start: 7, end: 8 }],
  ] as const)
    it(`reads ${header} of 10 bytes as ${span.start} to ${span.end}`, () => {
      assert.deepEqual(requestedSpan(header, 10), span);
    });

  for (const header of [
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=0-1,3-4',
    'bytes=0-0,0-0',
    'items=0-1',
    'bytes=a-b',
    'bytes=1.5-2',
    'bytes=0x1-2',
    'bytes=--1',
    'bytes=1',
    '0-9',
    'bytes=0-1\n',
    'bytes=٣-',
  ])
    it(`sends the whole body for ${header === undefined ? 'no header' : JSON.stringify(header)}`, () => {
      assert.equal(requestedSpan(header, 10), undefined);
    });

  for (const header of ['bytes=-1', 'bytes=-01', 'bytes=-99999999999999999999999', 'bytes= -5'])
    it(`sends the whole of no bytes for ${header}`, () => {
      assert.equal(requestedSpan(header, 0), undefined);
    });

  for (const [header, size] of [
    ['bytes=10-', 10],
    ['bytes=10-10', 10],
    ['bytes=99999999999999999999999-', 10],
    ['bytes=-0', 10],
    ['bytes=0-', 0],
    ['bytes=0-0', 0],
    ['bytes=-0', 0],
    ['bytes=-000', 0],
    ['bytes=1-', 0],
    ['bytes=5-2', 10],
    ['bytes=11-10', 10],
    ['bytes=500-0', 10],
  ] as const)
    it(`refuses ${header} of ${size} bytes with 416`, () => {
      assert.throws(() => requestedSpan(header, size), { failure: 'RANGE_INVALID', status: 416 });
    });

  it('requestedSpan never returns a span outside the body', () => {
    const bound = fc.oneof(fc.constant(''), fc.nat(30).map(String), fc.bigInt({ min: 0n }).map(String));
    fc.assert(
      fc.property(bound, bound, fc.nat(30), (from, to, size) => {
        let span;
        try {
          span = requestedSpan(`bytes=${from}-${to}`, size);
        } catch (error) {
          assert.equal((error as { failure?: unknown }).failure, 'RANGE_INVALID');
          return;
        }
        if (span === undefined) return;
        assert.ok(Number.isInteger(span.start) && Number.isInteger(span.end));
        assert.ok(0 <= span.start && span.start <= span.end && span.end < size, JSON.stringify(span));
      }),
      { numRuns: 2000 },
    );
  });

  it('requestedSpan ends on megabytes of digits and spaces', () => {
    assert.equal(requestedSpan(`bytes=${'1 '.repeat(500_000)}!`, 10), undefined);
  });
});

describe('parseContentRange', () => {
  for (const [header, span] of [
    ['0-0', { start: 0, end: 0 }],
    ['0-1048575', { start: 0, end: 1048575 }],
    ['5-9', { start: 5, end: 9 }],
    [' 5-9 ', { start: 5, end: 9 }],
    ['bytes 5-9/10', { start: 5, end: 9 }],
    ['bytes 5-9/*', { start: 5, end: 9 }],
    ['bytes=5-9', { start: 5, end: 9 }],
    ['999999999999998-999999999999999', { start: 999999999999998, end: 999999999999999 }],
  ] as const)
    it(`reads ${JSON.stringify(header)}`, () => {
      assert.deepEqual(parseContentRange(header), span);
    });

  for (const header of [
    '',
    '-',
    '5',
    '5-',
    '-5',
    '9-5',
    '1-0',
    'a-b',
    '0-1e3',
    '0--1',
    '-1-5',
    '0-9,10-19',
    'bytes */10',
    'items 0-9/10',
    '0-9999999999999999',
    '0-9\0',
    `${'1'.repeat(1_000_000)}-2`,
  ])
    it(`refuses ${JSON.stringify(header.slice(0, 40))}`, () => {
      assert.throws(() => parseContentRange(header), { failure: 'BLOB_UPLOAD_INVALID', status: 400 });
    });

  it('parseContentRange reads any span with exact numbers', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 0, max: 2 ** 48 }), (length, start) => {
        assert.deepEqual(parseContentRange(`${start}-${start + length}`), { start, end: start + length });
      }),
    );
  });
});

describe('uploadRange', () => {
  for (const [offset, range] of [
    [0, '0-0'],
    [1, '0-0'],
    [2, '0-1'],
    [219 * 2 ** 30, `0-${219 * 2 ** 30 - 1}`],
  ] as const)
    it(`says ${range} of ${offset} bytes`, () => {
      assert.equal(uploadRange(offset), range);
    });
});
