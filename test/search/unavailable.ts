import assert from 'node:assert/strict';
import type { MariaDb } from '../servers/mariadb.ts';

/** Holds that a list is not there, and that neither the answer nor the log's cause has anything of the DSN. */
export async function assertUnavailable(
  work: Promise<unknown>,
  why: RegExp,
  { password }: MariaDb,
): Promise<void> {
  await assert.rejects(work, (error: Error & { failure?: string; status?: number }) => {
    const told = `${error.message} ${String(error.stack)} ${String((error.cause as Error).stack)}`;
    assert.equal(error.failure, 'SEARCH_UNAVAILABLE', told);
    assert.equal(error.status, 503);
    assert.match((error.cause as Error).message, why);
    for (const secret of [password, password.slice(-16), '127.0.0.1', 'registry1', '@tcp'])
      assert.ok(!told.includes(secret), `${secret} in ${told}`);
    return true;
  });
}
