import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createChecks, type Check } from '../../lib/health/checks.ts';
import { Readiness } from '../../lib/health/readiness.ts';
import type { ExtraCheck } from '../../lib/config/health.ts';
import { createScope, inScope, requestScope } from '../../lib/request-scope.ts';
import { temporaryFolder } from '../servers/folder.ts';

/** A check that fails while it is told to, and the lines that its readiness logs. */
function fixture(mode: 'background' | 'on-request', times: Partial<Check> = {}) {
  const state = { fails: false, probes: 0, scopes: 0 };
  const lines: string[] = [];
  const probe = async () => {
    state.probes++;
    if (requestScope() !== undefined) state.scopes++;
    if (state.fails) throw new Error('the bucket is gone');
    await Promise.resolve();
  };
  const log = (fields: object, message: string) => {
    lines.push(`${JSON.stringify(fields)} ${message}`);
  };
  const check = { name: 'storage', intervalMs: 20, threshold: 3, timeoutMs: 1_000, probe, ...times };
  return { state, lines, readiness: new Readiness([check], mode, { warn: log, info: log }) };
}

/** Asks until the answer is this one. @returns the probes that were made until then */
async function becomes(
  names: readonly string[],
  { state, readiness }: ReturnType<typeof fixture>,
): Promise<number> {
  for (let tries = 0; tries < 500; tries++) {
    if ((await readiness.unready()).join() === names.join()) return state.probes;
    await delay(2);
  }
  throw new Error(`it did not become ${names.join() || 'ready'}`);
}

describe('the readiness of a server', () => {
  it('is down after three failures in a row, and up after one success', async () => {
    const one = fixture('background');
    assert.deepEqual(await one.readiness.unready(), []);
    one.state.fails = true;
    const before = one.state.probes;
    assert.equal((await becomes(['storage'], one)) - before, 3);
    one.state.fails = false;
    const failed = one.state.probes;
    assert.equal((await becomes([], one)) - failed, 1);
    assert.equal(one.lines.length, 2, one.lines.join('\n'));
    assert.match(one.lines[0] ?? '', /"check":"storage","failures":3.*not ready/);
    assert.match(one.lines[1] ?? '', /ready again/);
    one.readiness.stop();
  });

  it('probes nothing before the first question, and then at its interval however often it is asked', async () => {
    const { state, readiness } = fixture('background', { intervalMs: 60_000 });
    await delay(30);
    assert.equal(state.probes, 0);
    await Promise.all(Array.from({ length: 100 }, async () => await readiness.unready()));
    assert.equal(state.probes, 1);
    readiness.stop();
  });

  it('has no part in the request that asked first', async () => {
    const { state, readiness } = fixture('background');
    const client = { address: undefined, protocol: undefined, host: undefined, requestId: undefined };
    await inScope(createScope('GET', client), async () => {
      await readiness.unready();
    });
    await delay(100);
    readiness.stop();
    assert.ok(state.probes > 1);
    assert.equal(state.scopes, 0);
  });

  it('is down when the process is to end', async () => {
    const { readiness, state } = fixture('background');
    await readiness.unready();
    readiness.stop();
    assert.deepEqual(await readiness.unready(), ['shutdown']);
    const { probes } = state;
    await delay(60);
    assert.equal(state.probes, probes);
  });

  it('has one probe at a time, and one that does not end counts as failed', async () => {
    let begun = 0;
    const probe = async () => {
      begun++;
      await new Promise(() => undefined);
    };
    const one = fixture('background', { timeoutMs: 10, intervalMs: 10, probe });
    await becomes(['storage'], one);
    assert.equal(begun, 1);
    one.readiness.stop();
  });

  it('counts a probe that hangs once for each timeout, however short the interval', async () => {
    const begun = performance.now();
    const probe = async () => {
      await new Promise(() => undefined);
    };
    const one = fixture('background', { timeoutMs: 100, intervalMs: 5, probe });
    await becomes(['storage'], one);
    assert.ok(performance.now() - begun > 290);
    one.readiness.stop();
  });

  it('stays up while probes take longer than the interval', async () => {
    const probe = async () => {
      await delay(100);
    };
    const one = fixture('background', { intervalMs: 5, probe });
    assert.deepEqual(await one.readiness.unready(), []);
    await delay(250);
    assert.deepEqual([await one.readiness.unready(), one.lines], [[], []]);
    one.readiness.stop();
  });
});

describe('the readiness of a function', () => {
  it('probes within the request, and a single failure counts', async () => {
    const { state, readiness } = fixture('on-request', { intervalMs: 0 });
    state.fails = true;
    assert.deepEqual(await readiness.unready(), ['storage']);
    state.fails = false;
    assert.deepEqual(await readiness.unready(), []);
  });

  it('keeps the result for the interval', async () => {
    const { state, readiness } = fixture('on-request', { intervalMs: 60_000 });
    await Promise.all([readiness.unready(), readiness.unready()]);
    await readiness.unready();
    assert.equal(state.probes, 1);
  });

  it('answers in time where the storage does not', async () => {
    const hangs = async () => {
      await new Promise<void>(() => undefined);
    };
    const { readiness } = fixture('on-request', { timeoutMs: 10, probe: hangs });
    assert.deepEqual(await readiness.unready(), ['storage']);
  });
});

describe('the checks of the settings', () => {
  const store = { list: async () => await Promise.resolve({ objects: [], prefixes: [], next: undefined }) };
  const times = { intervalMs: 0, threshold: 1 };
  const unready = async (...extra: ExtraCheck[]) => {
    const lines: string[] = [];
    const log = (fields: { err?: unknown }) => {
      lines.push(String(fields.err));
    };
    const checks = createChecks({ storage: times, extra }, store);
    const names = await new Readiness(checks, 'on-request', { warn: log, info: log }).unready();
    return { names, lines };
  };

  it('find a file that says so', async () => {
    const folder = await temporaryFolder('health');
    const file = join(folder.path, 'stop');
    const check = { kind: 'file', file, ...times } as const;
    try {
      assert.deepEqual((await unready(check)).names, []);
      writeFileSync(file, '');
      assert.deepEqual((await unready(check)).names, ['file check 1']);
      rmSync(file);
      assert.deepEqual((await unready(check)).names, []);
    } finally {
      folder.remove();
    }
  });

  it('send a HEAD with headers, and compare the status', async () => {
    const asked: unknown[] = [];
    const server = createServer(({ method, headers }, response: ServerResponse) => {
      asked.push([method, headers['x-key']]);
      response.writeHead(204).end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const uri = `http://127.0.0.1:${(server.address() as AddressInfo).port}/health?key=hunter2`;
    const check = {
      kind: 'http',
      uri,
      headers: { 'X-Key': ['a', 'b'] },
      timeoutMs: 1_000,
      ...times,
    } as const;
    const { names, lines } = await unready({ ...check, statusCode: 204 }, { ...check, statusCode: 200 });
    assert.deepEqual(names, ['http check 2']);
    assert.match(lines.join(), /\/health answered 204, not 200/);
    assert.doesNotMatch(lines.join(), /hunter2/);
    assert.deepEqual(asked, [
      ['HEAD', 'a, b'],
      ['HEAD', 'a, b'],
    ]);
    server.close();
    server.closeAllConnections();
  });

  it('connect to a port', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const check = { kind: 'tcp', host: '127.0.0.1', port, timeoutMs: 1_000, ...times } as const;
    assert.deepEqual((await unready(check)).names, []);
    server.close();
    assert.deepEqual((await unready(check)).names, ['tcp check 1']);
  });
});
