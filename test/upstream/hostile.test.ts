import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { Exchange } from '../../lib/upstream/exchange.ts';
import { UpstreamError, type UpstreamTags } from '../../lib/upstream/upstream.ts';
import { digestOf } from '../registry/undo/images.ts';
import { listen } from '../servers/listen.ts';
import { clientOf } from './upstreams.ts';

const name = parseRepositoryName('team/app');
const v1 = parseReference('v1');
const layer = Buffer.from('a layer');
const digest = digestOf(layer);

interface Hostile {
  readonly url: URL;
  readonly seen: readonly IncomingMessage[];
}

/** Servers that answer as they are told, while a test runs. */
async function withServers(
  listeners: readonly RequestListener[],
  test: (servers: readonly Hostile[]) => Promise<void>,
): Promise<void> {
  const started = await Promise.all(
    listeners.map(async (answer) => {
      const seen: IncomingMessage[] = [];
      const listening = await listen(
        createServer((request, response) => {
          seen.push(request);
          answer(request, response);
        }),
      );
      return { url: new URL(listening.url), seen, listening };
    }),
  );
  try {
    await test(started);
  } finally {
    for (const { listening } of started) await listening.stop();
  }
}

const failed = (kind: UpstreamError['kind'], message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof UpstreamError, String(error));
  assert.match(error.message, message);
  assert.equal(error.kind, kind);
  return true;
};

const askBasic: RequestListener = ({ headers }, response) => {
  if (headers.authorization === undefined) response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' });
  else response.writeHead(200, { 'content-length': layer.length }).write(layer);
  response.end();
};

describe('a hostile registry', () => {
  it('that redirects gets no credentials sent elsewhere, nor to another path of its own', async () => {
    await withServers([askBasic, (_, response) => response.end(layer)], async ([own, other]) => {
      assert.ok(own && other);
      for (const location of [`${other.url.href}layer`, '/layer']) {
        const server = createServer((request, response) => {
          if (request.url === '/layer') response.end(layer);
          else if (request.headers.authorization === undefined) askBasic(request, response);
          else response.writeHead(307, { location }).end();
        });
        const seen: IncomingMessage[] = [];
        server.on('request', (request: IncomingMessage) => seen.push(request));
        const listening = await listen(server);
        try {
          const client = clientOf({ url: new URL(listening.url) });
          const { body } = await client.blob(name, digest);
          assert.deepEqual(await buffer(body), layer);
          const after = [...other.seen, ...seen].filter(({ url }) => url === '/layer');
          assert.ok(after.length > 0);
          assert.ok(after.every(({ headers }) => headers.authorization === undefined));
          const target = await client.blobLocation(name, digest);
          assert.equal(target.url?.href, new URL(location, listening.url).href);
          assert.equal(target.size, layer.length);
        } finally {
          await listening.stop();
        }
      }
    });
  });

  it('that names a token service on another domain gets nothing sent there', async () => {
    const tokens: RequestListener = (_, response) => response.end('{"token":"x"}');
    await withServers([tokens], async ([other]) => {
      assert.ok(other);
      const realm = `http://localhost:${other.url.port}/token`;
      const challenge = { 'www-authenticate': `Bearer realm="${realm}",service="x"` };
      await withServers([(_, response) => response.writeHead(401, challenge).end()], async ([own]) => {
        assert.ok(own);
        await assert.rejects(clientOf(own).resolve(name, v1), failed('denied', /on another domain/));
        assert.deepEqual(other.seen, []);
      });
    });
  });

  it('whose token service redirects gets no credentials sent there', async () => {
    await withServers([(_, response) => response.end('{"token":"x"}')], async ([other]) => {
      assert.ok(other);
      const answer: RequestListener = ({ url = '', headers }, response) => {
        if (url.startsWith('/token')) response.writeHead(307, { location: other.url.href }).end();
        else {
          const realm = `http://${String(headers.host)}/token`;
          response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }).end();
        }
      };
      await withServers([answer], async ([own]) => {
        assert.ok(own);
        await assert.rejects(
          clientOf(own).resolve(name, v1),
          failed('unavailable', /answered 307 when asked for a token/),
        );
        assert.deepEqual(other.seen, []);
      });
    });
  });

  it('that redirects without end, or to what is no address for it, is left', async () => {
    const loop: RequestListener = (_, response) => response.writeHead(302, { location: '/again' }).end();
    await withServers([loop], async ([own]) => {
      assert.ok(own);
      await assert.rejects(clientOf(own).blob(name, digest), failed('unavailable', /redirects without end/));
      // Four attempts, with five redirects each.
      assert.equal(own.seen.length, 24);
      const publicOnly = clientOf(own, { privateAddresses: { remedy: 'set it' } });
      await assert.rejects(
        publicOnly.blob(name, digest),
        failed('unavailable', /not a public address: set it/),
      );
      assert.equal(own.seen.length, 24);
    });
  });

  it('on https cannot lead to http, nor to URLs with credentials', () => {
    const url = new URL('https://registry.example.com/v2/');
    const exchange = new Exchange(url, {
      privateAddresses: 'permitted',
      timeoutMs: 1000,
      deadlineMs: 1000,
      maxWaitMs: 0,
    });
    const redirect = (location: string) => () => {
      const response = {
        statusCode: 307,
        headers: { location },
        on: () => undefined,
        destroy: () => undefined,
      };
      return exchange.redirect({ response: response as unknown as IncomingMessage, url }, 'a blob');
    };
    assert.throws(redirect('http://cdn.example.com/x'), failed('unavailable', /from https to http/));
    assert.throws(
      redirect('https://me:secret@cdn.example.com/x'),
      failed('unavailable', /with credentials in/),
    );
    assert.throws(redirect('ftp://cdn.example.com/x'), failed('unavailable', /to what is no URL/));
    assert.equal(redirect('https://cdn.example.com/x')()?.href, 'https://cdn.example.com/x');
  });

  it('that sends a manifest without end, or of schema 1, is refused', async () => {
    const endless: RequestListener = (request, response) => {
      if (request.method === 'HEAD') response.writeHead(405).end();
      else {
        const more = () => {
          while (!response.destroyed && response.write(Buffer.alloc(65_536)));
        };
        response.on('drain', more);
        more();
      }
    };
    const first: RequestListener = (_, response) =>
      response.end(JSON.stringify({ schemaVersion: 1, name: 'team/app', fsLayers: [], history: [] }));
    await withServers([endless, first], async ([one, other]) => {
      assert.ok(one && other);
      await assert.rejects(clientOf(one).resolve(name, v1), failed('unknown', /has more than 4194304 bytes/));
      await assert.rejects(clientOf(other).resolve(name, v1), failed('unknown', /is of Docker's schema 1/));
    });
  });

  it('whose manifest nobody can read is asked for it once', async () => {
    const bytes = Buffer.from([...Buffer.from('{"schemaVersion":2,"x":"'), 0xff, ...Buffer.from('"}')]);
    const named: RequestListener = (_, response) =>
      response.writeHead(200, { 'docker-content-digest': digestOf(bytes) }).end(bytes);
    await withServers([named], async ([own]) => {
      assert.ok(own);
      const refused = failed('unknown', /answered with no manifest for manifest sha256/);
      await assert.rejects(clientOf(own).manifest(name, digestOf(bytes)), refused);
      assert.equal(own.seen.length, 1);
      // Other bytes than those of the digest may be right the next time.
      await assert.rejects(clientOf(own).manifest(name, digest), failed('unavailable', /another digest/));
      assert.equal(own.seen.length, 5);
    });
  });

  it('that refuses a request as it is gets it once', async () => {
    for (const status of [400, 405, 410, 414, 416])
      await withServers([(_, response) => response.writeHead(status).end()], async ([own]) => {
        assert.ok(own);
        await assert.rejects(clientOf(own).manifest(name, digest), failed('unknown', RegExp(`${status}`)));
        await assert.rejects(clientOf(own).blob(name, digest), failed('unknown', RegExp(`${status}`)));
        assert.equal(own.seen.length, 2);
      });
  });

  it('whose token service refuses with 400 has refused', async () => {
    const answer: RequestListener = ({ url = '', headers }, response) => {
      const realm = `http://${String(headers.host)}/token`;
      if (url.startsWith('/token')) response.writeHead(400).end();
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }).end();
    };
    await withServers([answer], async ([own]) => {
      assert.ok(own);
      await assert.rejects(clientOf(own).manifest(name, digest), failed('denied', /400 .* a token/));
      assert.equal(own.seen.length, 2);
    });
  });

  it('that asks for a pause is not asked before its end', async () => {
    const limited: RequestListener = (_, response) => response.writeHead(429, { 'retry-after': '60' }).end();
    const exhausted: RequestListener = (_, response) =>
      response.writeHead(404, { 'ratelimit-remaining': '0;w=60', 'ratelimit-reset': '60' }).end();
    await withServers([limited, exhausted], async ([one, other]) => {
      assert.ok(one && other);
      const client = clientOf(one);
      const isLimited = (error: unknown) => {
        assert.ok(error instanceof UpstreamError);
        assert.equal(error.kind, 'limited');
        assert.ok((error.retryAfterMs ?? 0) > 50_000 && (error.retryAfterMs ?? 0) <= 60_000);
        return true;
      };
      await assert.rejects(client.resolve(name, v1), isLimited);
      await assert.rejects(client.manifest(name, digest), isLimited);
      assert.equal(one.seen.length, 1);
      const second = clientOf(other);
      await assert.rejects(second.manifest(name, digest), failed('unknown', /404/));
      await assert.rejects(second.manifest(name, digest), isLimited);
      assert.equal(other.seen.length, 1);
    });
  });

  it('whose redirects lead to what asks for a pause is asked all the same', async () => {
    for (const status of [429, 503]) {
      const cdn: RequestListener = (_, response) =>
        response
          .writeHead(status, { 'retry-after': '3600', 'ratelimit-remaining': '0', 'ratelimit-reset': '60' })
          .end();
      await withServers([cdn], async ([other]) => {
        assert.ok(other);
        const answer: RequestListener = ({ url = '' }, response) => {
          if (url.includes('/blobs/')) response.writeHead(307, { location: other.url.href }).end();
          else response.writeHead(404).end();
        };
        await withServers([answer], async ([own]) => {
          assert.ok(own);
          const client = clientOf(own);
          await assert.rejects(client.blob(name, digest), (error: unknown) => {
            assert.ok(error instanceof UpstreamError && error.kind === 'unavailable');
            assert.equal(error.retryAfterMs, undefined);
            return true;
          });
          await assert.rejects(client.manifest(name, digest), failed('unknown', /404/));
        });
      });
    }
  });

  it('whose token service asks for a pause, on another host, gets no more requests for tokens', async () => {
    const tokens: RequestListener = (_, response) => response.writeHead(429, { 'retry-after': '60' }).end();
    await withServers([tokens], async ([other]) => {
      assert.ok(other);
      const challenge = { 'www-authenticate': `Bearer realm="${other.url.href}token"` };
      await withServers([(_, response) => response.writeHead(401, challenge).end()], async ([own]) => {
        assert.ok(own);
        const client = clientOf(own);
        await assert.rejects(client.manifest(name, digest), failed('limited', /429/));
        await assert.rejects(client.manifest(name, digest), failed('limited', /token service of/));
        assert.equal(other.seen.length, 1);
      });
    });
  });

  it('that answers 429 without saying for how long is asked once, and a minute later', async () => {
    await withServers([(_, response) => response.writeHead(429).end()], async ([own]) => {
      assert.ok(own);
      const client = clientOf(own);
      for (let attempt = 1; attempt <= 2; attempt++)
        await assert.rejects(client.resolve(name, v1), (error: unknown) => {
          assert.ok(error instanceof UpstreamError && error.kind === 'limited');
          assert.ok((error.retryAfterMs ?? 0) > 50_000 && (error.retryAfterMs ?? 0) <= 60_000);
          return true;
        });
      assert.equal(own.seen.length, 1);
    });
  });

  it('whose manifest, token or answer to HEAD drips, or comes only after redirects without end, is left in time', async () => {
    /** A byte now and then, each within the time for one. */
    const drip = (response: ServerResponse) => {
      const timer = setInterval(() => response.write(' '), 20);
      response.once('close', () => {
        clearInterval(timer);
      });
    };
    const manifest: RequestListener = (_, response) => {
      drip(response);
    };
    const token: RequestListener = ({ url = '', headers }, response) => {
      if (url.startsWith('/token')) drip(response);
      else {
        const realm = `http://${String(headers.host)}/token`;
        response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }).end();
      }
    };
    const redirect: RequestListener = (_, response) => {
      setTimeout(() => response.writeHead(302, { location: '/again' }).end(), 100);
    };
    await withServers([manifest, token, redirect], async (servers) => {
      for (const server of servers) {
        const client = clientOf(server, { timeoutMs: 5000, deadlineMs: 300 });
        await assert.rejects(
          client.manifest(name, digest),
          failed('unavailable', /has not given an answer within 300 ms/),
        );
      }
      const [, byToken, byRedirects] = servers;
      assert.ok(byToken && byRedirects);
      for (const server of [byToken, byRedirects]) {
        const client = clientOf(server, { timeoutMs: 5000, deadlineMs: 300 });
        const late = failed('unavailable', /has not given an answer within 300 ms/);
        await assert.rejects(client.resolve(name, v1), late);
        await assert.rejects(client.blob(name, digest), late);
      }
    });
  });

  it('whose lists of tags and referrers have no end is left', async () => {
    let page = 0;
    const answer: RequestListener = ({ url = '' }, response) => {
      page++;
      const { pathname } = new URL(url, 'http://localhost');
      response.setHeader('link', `<${pathname}?page=${page}>; rel="next"`);
      const entries = (count: number) => Array.from({ length: count }, (_, at) => `p${page}-${at}`);
      response.end(
        JSON.stringify(
          url.includes('/tags/')
            ? { tags: entries(50_000) }
            : { manifests: entries(5000).map((one) => ({ digest: digestOf(Buffer.from(one)) })) },
        ),
      );
    };
    await withServers([answer], async ([own]) => {
      assert.ok(own);
      await assert.rejects(
        Array.fromAsync(clientOf(own).tags(name)),
        failed('unavailable', /more than 200000 entries in the tags of team\/app.*: name tags instead/),
      );
      assert.equal(own.seen.length, 5);
      await assert.rejects(
        clientOf(own).referrers(name, digest),
        failed('unavailable', /more than 10000 entries in the referrers of .*: copy without them/),
      );
      assert.equal(own.seen.length, 8);
    });
  });

  it('that knows no pages of tags, or goes on by names of its own, has its tags listed once each', async () => {
    const all = ['a', 'b', 'no tag', 'c', 'd', 'e'];
    const whole: RequestListener = (_, response) => response.end(JSON.stringify({ tags: all }));
    const own: RequestListener = ({ url = '' }, response) => {
      const { searchParams } = new URL(url, 'http://localhost');
      const last = searchParams.get('last');
      const at = last === null ? 0 : Number(last.slice('token+'.length));
      const next = `</v2/team/app/tags/list?last=token%2B${at + 2}&n=2>; rel="next"`;
      response.writeHead(200, at + 2 < all.length ? { link: next } : {});
      response.end(JSON.stringify({ tags: all.slice(at, at + 2) }));
    };
    const without: RequestListener = (_, response) => response.end('{"tags":null}');
    await withServers([whole, own, without], async (servers) => {
      const listed = await Promise.all(
        servers.map(async (server) => {
          const client = clientOf(server);
          const tags: string[] = [];
          for (let last: string | undefined = ''; last !== undefined;) {
            const page: UpstreamTags = await client.tagPage(name, { n: 2, last });
            assert.ok(page.tags.length <= 2);
            tags.push(...page.tags);
            last = page.next;
          }
          return tags;
        }),
      );
      assert.deepEqual(listed, [['a', 'b', 'c', 'd', 'e'], ['a', 'b', 'c', 'd', 'e'], []]);
    });
  });

  it('whose list of referrers is damaged or has annotations without end has only what can be shown', async () => {
    const right = { mediaType: 'application/x', digest, size: 7 };
    const damaged: RequestListener = (_, response) =>
      response.end(
        JSON.stringify({
          manifests: [
            right,
            { ...right, digest: 'sha256:1' },
            { ...right, size: -0.5 },
            { ...right, mediaType: 1 },
            'x',
          ],
        }),
      );
    const endless: RequestListener = (_, response) => {
      response.setHeader('link', '</next?page=1>; rel="next"');
      const annotations = { note: 'x'.repeat(3 * 1024 ** 2) };
      response.end(JSON.stringify({ manifests: [{ ...right, annotations }] }));
    };
    await withServers([damaged, endless], async ([one, other]) => {
      assert.ok(one && other);
      assert.deepEqual(await clientOf(one).referrerEntries(name, digest), [right]);
      await assert.rejects(
        clientOf(other).referrerEntries(name, digest),
        failed('unavailable', /too many to list/),
      );
      assert.equal(other.seen.length, 3);
    });
  });

  it('that asks for a short pause is waited for', async () => {
    let count = 0;
    const answer: RequestListener = (_, response) => {
      if (count++ === 0) response.writeHead(429, { 'retry-after': '1' }).end();
      else response.writeHead(200, { 'content-length': layer.length }).end(layer);
    };
    await withServers([answer], async ([own]) => {
      assert.ok(own);
      const { body } = await clientOf(own, { maxWaitMs: 5000 }).blob(name, digest);
      assert.deepEqual(await buffer(body), layer);
      assert.equal(own.seen.length, 2);
    });
  });

  it('without ranges still gives the rest of a blob', async () => {
    let count = 0;
    const answer: RequestListener = (_, response) => {
      response.writeHead(200, { 'content-length': layer.length });
      if (count++ === 0) response.write(layer.subarray(0, 3), () => response.destroy());
      else response.end(layer);
    };
    await withServers([answer], async ([own]) => {
      assert.ok(own);
      const { body } = await clientOf(own).blob(name, digest);
      assert.deepEqual(await buffer(body), layer);
      assert.deepEqual(
        own.seen.map(({ headers }) => headers.range),
        [undefined, 'bytes=3-6'],
      );
    });
  });

  it('whose error has control characters has none of them in the message', async () => {
    const answer: RequestListener = (_, response) =>
      response
        .writeHead(403, { 'content-type': 'application/json' })
        .end(JSON.stringify({ errors: [{ code: 'DENIED', message: `no\n\u001b[31m${'x'.repeat(1000)}` }] }));
    await withServers([answer], async ([own]) => {
      assert.ok(own);
      await assert.rejects(clientOf(own).manifest(name, digest), (error: Error) => {
        assert.match(error.message, /answered 403 .*: DENIED: no  ?\[31mx+$/);
        assert.ok(error.message.length < 600);
        return true;
      });
    });
  });
});
