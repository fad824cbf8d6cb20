import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import type { Ask, Client, Reply } from '../client.ts';
import { RegistryFailed } from './faulty-client.ts';
import { isSigned } from './signed-url.ts';

/** The expected response. Omitted fields may be anything. */
export interface Expectation {
  readonly status: number;
  /** A text must be equal, a pattern must match, `undefined` must be absent. */
  readonly headers?: Readonly<Record<string, string | RegExp | undefined>>;
  readonly json?: unknown;
  readonly bytes?: Uint8Array;
  /** Code of each entry of `errors`. */
  readonly errors?: readonly string[];
  /** Texts that the body must contain. */
  readonly mentions?: readonly string[];
}

/** The registry under test: a client and the store behind it. */
export interface Bench {
  readonly client: Client;
  readonly store: ObjectStore;
}

/** One operation: its preparation, the request and the expected response. */
export interface Case {
  readonly title: string;
  readonly act: (bench: Bench) => Promise<{ readonly ask: Ask; readonly expect: Expectation }>;
}

/**
 * Conditions that hold of something with an entity tag, and that do not (RFC 9110, section 13.1); `TAG` stands for the tag
 * without its quotes. A date is none where nothing has one.
 */
export const conditions: readonly (readonly [headers: Readonly<Record<string, string>>, holds: boolean])[] = [
  [{ 'if-match': '"TAG"' }, true],
  [{ 'if-match': '"other", "TAG"' }, true],
  [{ 'if-match': '*' }, true],
  [{ 'if-none-match': '"other"' }, true],
  [{ 'if-unmodified-since': 'Sat, 29 Oct 1994 19:43:31 GMT' }, true],
  [{ 'if-match': '"other"' }, false],
  [{ 'if-match': 'W/"TAG"' }, false],
  [{ 'if-match': 'TAG' }, false],
  [{ 'if-match': '"TAG"', 'if-none-match': '"TAG"' }, false],
  [{ 'if-none-match': 'W/"TAG"' }, false],
  [{ 'if-none-match': '*' }, false],
];

/** Of {@link conditions} those that concern a request which changes nothing: the others say that it has the content. */
export const readConditions = conditions.filter(([headers]) => !('if-none-match' in headers));

/** The headers of a condition on something with a tag. */
export function conditionOn(
  tag: string,
  headers: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).map(([header, value]) => [header, value.replaceAll('TAG', tag)]),
  );
}

/** Numbers of cases that passed, and that met a failure reported by the registry. */
export interface Outcomes {
  passed: number;
  failed: number;
  /**
   * Whether the bucket may miss an object that is being overwritten, as Swift does: it lists a folder and opens the file that
   * it has found, and answers 404 if a write has replaced it meanwhile. 32 of 14,119 HEAD requests were answered so beside six
   * clients that wrote the object all the time. The cases push one blob at the same time.
   */
  readonly missesOverwritten: boolean;
}

/**
 * Registers a test for each case.
 * @param bench called when the first test runs
 * @param outcomes where the bucket fails now and then: a case may end with {@link RegistryFailed}, and is counted
 */
export function registerCases(
  title: string,
  cases: readonly Case[],
  bench: () => Bench,
  outcomes?: Outcomes,
): void {
  // Where failures are waited out, others may go on.
  describe(title, { concurrency: outcomes === undefined ? 1 : 8 }, () => {
    for (const { title: sentence, act } of cases)
      it(sentence, async () => {
        const work = async () => {
          const { ask, expect } = await act(bench());
          await checkFollowing(bench().client, ask, expect);
        };
        try {
          await work().catch(async (error: unknown) => {
            if (outcomes?.missesOverwritten !== true || !isMissing(error)) throw error;
            console.log(`once more, since the bucket missed an object that was overwritten: ${sentence}`);
            await work();
          });
        } catch (error) {
          if (outcomes === undefined || !(error instanceof RegistryFailed)) throw error;
          outcomes.failed++;
          return;
        }
        if (outcomes !== undefined) outcomes.passed++;
      });
  });
}

/** Whether a status was 404 and should have been another. */
function isMissing(error: unknown): boolean {
  return error instanceof assert.AssertionError && error.actual === 404 && error.expected !== 404;
}

/**
 * A GET goes where it is sent, once, as every client does: functions send blobs elsewhere. A HEAD is answered at once.
 */
async function checkFollowing(client: Client, ask: Ask, expect: Expectation): Promise<void> {
  const reply = await client.send(ask);
  if (reply.status !== 307) {
    check(reply, expect, ask.method);
    return;
  }
  assert.equal(ask.method, 'GET');
  const { location = '' } = reply.headers;
  const blob = await client.send({ ...ask, path: location });
  if (!isSigned(location)) check(blob, expect, ask.method);
  else {
    checkHeaders(reply, everyAnswer);
    checkOfBucket(blob, ask, expect);
  }
}

/**
 * A bucket knows nothing of registries, and not the ETag that they give a blob. What it makes of several ranges or of a
 * condition is its own affair.
 */
function checkOfBucket(reply: Reply, ask: Ask, expect: Expectation): void {
  const { range = '', ...headers } = ask.headers ?? {};
  if (range.includes(',') || Object.keys(headers).some((name) => name.startsWith('if-'))) return;
  assert.equal(reply.status, expect.status);
  if (reply.status === 416) return;
  const { 'content-range': contentRange, 'content-length': length } = expect.headers ?? {};
  checkHeaders(reply, {
    'content-range': contentRange,
    ...(length !== undefined && { 'content-length': length }),
  });
  if (expect.bytes !== undefined) assert.ok(reply.body.equals(expect.bytes), 'the bytes are others');
}

function check(reply: Reply, expect: Expectation, method: string): void {
  const text = reply.body.toString();
  assert.equal(reply.status, expect.status, text);
  checkHeaders(reply, { ...everyAnswer, ...expect.headers });
  if (expect.json !== undefined) assert.deepEqual(JSON.parse(text), expect.json);
  if (expect.bytes !== undefined) assert.ok(reply.body.equals(expect.bytes), 'the bytes are others');
  for (const mention of expect.mentions ?? [])
    assert.ok(text.includes(mention), `${mention} is missing in ${text}`);
  if (method === 'HEAD') assert.equal(reply.body.length, 0);
  else if (reply.status >= 400) checkErrors(reply, expect.errors);
  else if ([expect.json, expect.bytes, expect.mentions].every((one) => one === undefined))
    assert.equal(text, '');
}

const everyAnswer = {
  'docker-distribution-api-version': 'registry/2.0',
  'x-content-type-options': 'nosniff',
};

function checkHeaders({ headers }: Reply, expected: NonNullable<Expectation['headers']>): void {
  for (const [name, value] of Object.entries(expected)) {
    const actual = headers[name];
    if (value instanceof RegExp) assert.match(String(actual), value, name);
    else assert.equal(actual, value, name);
  }
}

/** Every error has the form of the spec and the content type that clients expect. */
function checkErrors({ headers, body }: Reply, codes: readonly string[] | undefined): void {
  assert.equal(headers['content-type'], 'application/json');
  const { errors } = JSON.parse(body.toString()) as { errors: { code: string; message: string }[] };
  assert.ok(errors.length > 0 && errors.every(({ message }) => message !== ''));
  if (codes !== undefined)
    assert.deepEqual(
      errors.map(({ code }) => code),
      codes,
    );
}
