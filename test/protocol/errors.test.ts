import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RegistryError, type Failure } from '../../lib/protocol/errors.ts';

/** What clients act upon. The compiler holds that none is left out. */
const statuses: Readonly<Record<Failure, number>> = {
  UNAUTHORIZED: 401,
  DENIED: 403,
  TOO_MANY_REQUESTS: 429,
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  UPLOAD_STATE_FOREIGN: 400,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 404,
  MANIFEST_INVALID: 400,
  MANIFEST_TOO_LARGE: 413,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  PAGINATION_NUMBER_INVALID: 400,
  QUERY_INVALID: 400,
  PRECONDITION_FAILED: 412,
  RANGE_INVALID: 416,
  SIZE_INVALID: 400,
  TOO_MANY_TAGS: 414,
  TAG_INVALID: 400,
  ROUTE_UNKNOWN: 404,
  UNSUPPORTED: 405,
  BUSY: 503,
  TOO_SLOW: 408,
  REQUEST_INVALID: 400,
  REQUEST_LATE: 408,
  EXPECTATION_UNKNOWN: 417,
  HEADERS_TOO_LARGE: 431,
  UNAVAILABLE: 503,
  UPSTREAM_UNAVAILABLE: 503,
  SEARCH_UNAVAILABLE: 503,
  UNKNOWN: 500,
};

describe('RegistryError', () => {
  for (const [failure, status] of Object.entries(statuses) as [Failure, number][])
    it(`answers ${failure} with ${status}, a code in capitals and a message`, () => {
      const error = new RegistryError(failure);
      assert.equal(error.status, status);
      const [{ code, message } = { code: '', message: '' }, ...others] = error.errors;
      assert.deepEqual(others, []);
      assert.match(code, /^[A-Z_]+$/);
      assert.notEqual(message, '');
      assert.equal(error.message, message);
      assert.ok(error instanceof Error);
    });

  it('RegistryError has an entry for each detail', () => {
    const { errors } = new RegistryError('BLOB_UNKNOWN', 'gone', [{ digest: 'a' }, { digest: 'b' }]);
    assert.deepEqual(errors, [
      { code: 'BLOB_UNKNOWN', message: 'gone', detail: { digest: 'a' } },
      { code: 'BLOB_UNKNOWN', message: 'gone', detail: { digest: 'b' } },
    ]);
  });

  it('RegistryError has no detail by default', () => {
    assert.equal('detail' in (new RegistryError('UNKNOWN').errors[0] ?? {}), false);
  });

  it('RegistryError keeps its cause out of the response', () => {
    const cause = new Error('password=hunter2');
    const error = new RegistryError('UNKNOWN', undefined, [], { cause });
    assert.equal(error.cause, cause);
    assert.doesNotMatch(JSON.stringify(error.errors), /hunter2/);
  });
});
