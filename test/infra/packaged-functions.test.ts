import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import type { Feature } from '../../infra/packages/optional.ts';
import { publicKeyText } from '../../lib/access/tokens/keys.ts';
import { gatewayRoutes } from '../../lib/protocol/routes.ts';
import { basic, bearer, htpasswdOf } from '../access/policy-registry.ts';
import { descriptor, digestOf, imageType, manifest, send, withDigest } from '../functions/client.ts';
import { onScs, onSwift, type Buckets } from '../servers/buckets.ts';
import { startGateway, type Gateway } from '../servers/gateway.ts';
import { mariadb, type MariaDb } from '../servers/mariadb.ts';
import { asInLambda, packagedFunctions, type PackagedFunctions } from '../servers/packaged-functions.ts';
import { requires } from '../servers/requires.ts';
import { runBuild } from './run-node.ts';

/** What Node says when a chunk is missing. */
const missing = /ERR_MODULE_NOT_FOUND|Cannot find module/;

type Headers = Record<string, string>;

/** Functions that were unpacked, behind a gateway. */
class Deployed {
  readonly functions: PackagedFunctions;
  readonly gateway: Gateway;

  private constructor(functions: PackagedFunctions, gateway: Gateway) {
    this.functions = functions;
    this.gateway = gateway;
  }

  static async start(features: readonly Feature[], settingsOf: (name: string) => Headers): Promise<Deployed> {
    const functions = await packagedFunctions(features, settingsOf);
    return new Deployed(functions, await startGateway(functions.functions));
  }

  async stop(): Promise<void> {
    await this.gateway.stop();
    await this.functions.stop();
  }

  async must(status: number, method: string, path: string, headers: Headers, body?: Uint8Array) {
    const reply = await send(this.gateway.url, { method, path, headers, ...(body && { body }) });
    const text = `${method} ${path}: ${reply.body.toString()} ${this.functions.output()}`;
    assert.equal(reply.status, status, text);
    return reply;
  }

  /** Each route that the gateway has, with a name, digest or upload that is not there: its function answers. */
  async getEveryRoute(headers: Headers): Promise<void> {
    for (const { path } of gatewayRoutes()) {
      const filled = path.replaceAll('{digest}', digestOf(Buffer.of())).replaceAll(/\{\w+\}/g, 'none');
      const { status, body } = await send(this.gateway.url, { method: 'GET', path: filled, headers });
      assert.ok([200, 400, 404, 405].includes(status), `${filled}: ${status} ${body.toString()}`);
    }
  }

  /** What docker and oras do with an image. @param headersOf those of a client that may do this to a repository */
  async useImage(name: string, headersOf: (...actions: string[]) => Promise<Headers>): Promise<void> {
    const [push, all] = [await headersOf('pull', 'push'), await headersOf('pull', 'push', 'delete')];
    const [config, layer] = [Buffer.from('{}'), Buffer.from('a layer')];
    for (const blob of [config, layer]) {
      const started = await this.must(202, 'POST', `/v2/${name}/blobs/uploads/`, push);
      const type = { 'content-type': 'application/octet-stream' };
      const patched = await this.must(
        202,
        'PATCH',
        started.headers.location ?? '',
        { ...push, ...type },
        blob,
      );
      await this.must(201, 'PUT', withDigest(patched.headers.location ?? '', digestOf(blob)), push);
    }
    const image = manifest({ config: descriptor(config), layers: [descriptor(layer)] });
    const type = { ...push, 'content-type': imageType };
    await this.must(201, 'PUT', `/v2/${name}/manifests/v1`, type, image);
    const subject = {
      subject: descriptor(image, imageType),
      config: descriptor(config),
      layers: [descriptor(layer)],
    };
    await this.must(201, 'PUT', `/v2/${name}/manifests/signature`, type, manifest(subject));
    const referrers = await this.must(200, 'GET', `/v2/${name}/referrers/${digestOf(image)}`, push);
    assert.match(referrers.body.toString(), /"digest":"sha256:/);
    await this.must(307, 'GET', `/v2/${name}/blobs/${digestOf(layer)}`, push);
    const tags = await this.must(200, 'GET', `/v2/${name}/tags/list`, push);
    assert.deepEqual(JSON.parse(tags.body.toString()), { name, tags: ['signature', 'v1'] });
    await this.must(202, 'DELETE', `/v2/${name}/manifests/v1`, all);
  }

  async runJobs(): Promise<void> {
    await this.functions.run('purge-uploads');
    await this.functions.run('reindex');
    await this.functions.run('gc');
  }
}

const httpSecret = 'a secret of a test that is long enough';

before(async () => {
  const { code, output } = await runBuild();
  assert.equal(code, 0, output);
});

/** Each package is unpacked into an empty folder, and its function runs there on Node as it does in Lambda. */
describe('the functions of a deployment with S3 and a policy', requires('swift-proxy-server'), () => {
  let buckets: Buckets;
  let secretsManager: Server;
  let deployed: Deployed;

  before(async () => {
    buckets = await onSwift.start();
    secretsManager = await answerAll({ SecretString: await htpasswdOf(['alice']), VersionId: '1' });
    const bucket = await buckets.newBucket();
    const policy = 'rules: [{ repositories: "**", who: alice, allow: "*" }]\n';
    await (await bucket.open()).put('stowage/policy.yaml', Buffer.from(policy));
    deployed = await Deployed.start(['s3', 'policy'], (name) => ({
      ...asInLambda(bucket.settings),
      AWS_ENDPOINT_URL_SECRETS_MANAGER: urlOf(secretsManager),
      ...(isJob(name) ? {} : policySettings(name)),
    }));
  });

  after(async () => {
    await deployed.stop();
    secretsManager.close();
    await buckets.stop();
  });

  it('answer at each of their routes', async () => {
    await deployed.must(401, 'GET', '/v2/', {});
    const headers = await bearer(deployed.gateway.url, 'alice', 'registry:catalog:*', 'repository:none:pull');
    for (const path of ['/', '/livez', '/readyz', '/v2/', '/v2/_catalog', '/v1/search?q=a', '/v1/_ping'])
      await deployed.must(200, 'GET', path, headers);
  });

  it('take an image and give it, by names short and long', async () => {
    for (const name of ['team/app', 'a/name/of/five/parts'])
      await deployed.useImage(name, async (...actions) => {
        return await bearer(deployed.gateway.url, 'alice', `repository:${name}:${actions.join(',')}`);
      });
  });

  it('run their jobs', async () => {
    await deployed.runJobs();
  });

  it('miss no chunk', () => {
    assert.doesNotMatch(deployed.functions.output(), missing);
  });
});

describe(
  'the functions of a deployment with SCS, MySQL, passwords, metrics and traces',
  requires('mariadbd'),
  () => {
    let buckets: Buckets;
    let database: MariaDb;
    let collector: Server;
    let deployed: Deployed;

    before(async () => {
      const { code, output } = await runBuild();
      assert.equal(code, 0, output);
      [buckets, database, collector] = await Promise.all([onScs.start(), mariadb(), answerAll({})]);
      const { settings } = await buckets.newBucket();
      const { dsn } = await database.newDatabase();
      const content = await htpasswdOf(['alice']);
      const features = ['scs', 'mysql', 'htpasswd', 'tracing', 'cloudwatch'] as const;
      deployed = await Deployed.start(features, (name) => ({
        ...settings,
        REGISTRY_HTTP_SECRET: httpSecret,
        SEARCH_BACKEND: 'MYSQL',
        SEARCH_BACKEND_MYSQL: dsn,
        // Nothing listens there.
        OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
        REGISTRY_METRICS_CLOUDWATCH_NAMESPACE: 'stowage',
        ...(!isJob(name) && { REGISTRY_AUTH: 'htpasswd', REGISTRY_AUTH_HTPASSWD_CONTENT: content }),
      }));
    });

    after(async () => {
      await deployed.stop();
      collector.close();
      await Promise.all([buckets.stop(), database.stop()]);
    });

    it('answer at each of their routes', async () => {
      await deployed.must(401, 'GET', '/v2/', {});
      await deployed.functions.run('reindex');
      await deployed.getEveryRoute(basic('alice'));
    });

    it('take an image and give it', async () => {
      await deployed.useImage('team/app', async () => await Promise.resolve(basic('alice')));
      const { body } = await deployed.must(200, 'GET', '/v2/_catalog', basic('alice'));
      assert.deepEqual(JSON.parse(body.toString()), { repositories: ['team/app'] });
    });

    it('run their jobs', async () => {
      await deployed.runJobs();
    });

    it('miss no chunk, and write metrics', () => {
      assert.doesNotMatch(deployed.functions.output(), missing);
      assert.match(deployed.functions.output(), /"CloudWatchMetrics"/);
    });
  },
);

it('a function whose package lacks its store answers 503, and its log names the chunk', async () => {
  const deployed = await Deployed.start(['policy'], () => ({
    REGISTRY_AUTH: 'none',
    REGISTRY_HTTP_SECRET: httpSecret,
    REGISTRY_STORAGE_S3_BUCKET: 'images',
    REGISTRY_STORAGE_S3_REGION: 'eu-central-1',
  }));
  await deployed.must(503, 'GET', '/v2/', {});
  assert.match(deployed.functions.output(), missing);
  await deployed.stop();
});

function isJob(name: string): boolean {
  return name === 'purge-uploads' || name === 'reindex' || name === 'gc';
}

/** The function `token` alone has the secret and the passwords. */
function policySettings(name: string): Headers {
  const secret = 'the secret of tokens, which is long enough too';
  const keys =
    name === 'token'
      ? {
          REGISTRY_AUTH_POLICY_SECRET: secret,
          REGISTRY_AUTH_HTPASSWD_PATH: 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:users-AbCdEf',
        }
      : { REGISTRY_AUTH_POLICY_PUBLICKEYS: publicKeyText(secret) };
  return {
    REGISTRY_AUTH: 'policy',
    REGISTRY_AUTH_POLICY_OBJECT: 'stowage/policy.yaml',
    REGISTRY_AUTH_POLICY_SERVICE: 'registry.example.com',
    REGISTRY_HTTP_SECRET: httpSecret,
    ...keys,
  };
}

/** Answers every request with a JSON object. */
async function answerAll(answer: object): Promise<Server> {
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(200, { 'Content-Type': 'application/x-amz-json-1.1' });
    response.end(JSON.stringify(answer));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
