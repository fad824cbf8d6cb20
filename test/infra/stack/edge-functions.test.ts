import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { after, afterEach, before, describe, it } from 'node:test';
import { apiExtensions } from '../../../infra/stack/api.ts';
import { cloudfront } from '../../../infra/stack/cloudfront.ts';
import { responseParameters } from '../../../infra/stack/response-parameters.ts';
import { basic, passwordOf } from '../../access/policy-registry.ts';
import { skopeoClient } from '../../clients/access-skopeo.ts';
import { send } from '../../functions/client.ts';
import { startEdgeRegistry, type EdgeRegistry } from '../../servers/edge-registry.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { requires } from '../../servers/requires.ts';
import { skopeo } from '../../servers/skopeo.ts';
import { runStowage } from '../run-node.ts';
import { examples } from './examples.ts';

const edge = (file: string) => new URL(`../../../infra/stack/edge/${file}`, import.meta.url);

/** As the template has them, in the form of the API. */
const parameters = Object.fromEntries(
  Object.entries(responseParameters).map(([status, { ResponseParameters }]) => [
    status,
    Object.fromEntries(ResponseParameters.map(({ Destination, Source }) => [Destination, Source])),
  ]),
);

/** What restores the headers that a gateway may rename and drop: response parameters and functions of the template. */
describe('headers that a gateway changes', () => {
  let registry: EdgeRegistry;
  const env = { STOWAGE_PASSWORD: passwordOf('alice') };

  before(async () => {
    registry = await startEdgeRegistry(
      "rules: [{ who: alice, repositories: '**', allow: [pull, push, delete] }]",
      ['alice'],
    );
  });

  after(async () => {
    await registry.stop();
  });

  afterEach(() => {
    for (const part of [registry.gateway, registry.distribution])
      for (const name of Object.keys(part)) if (name !== 'origin') Reflect.deleteProperty(part, name);
  });

  const challengeOf = async () => (await send(registry.url, { method: 'GET', path: '/v2/' })).headers;

  it('come back by response parameters where the gateway renames what functions send', async () => {
    registry.gateway.challenges = 'renamed';
    assert.equal((await challengeOf())['www-authenticate'], undefined);
    registry.gateway.responseParameters = parameters;
    assert.match((await challengeOf())['www-authenticate'] ?? '', /^Bearer realm="http:\/\/127/);
    delete registry.gateway.challenges;
    assert.match((await challengeOf())['www-authenticate'] ?? '', /^Bearer realm="http:\/\/127/);
  });

  it('come back at CloudFront where the gateway renames what it sends: for 401 only at the origin', async () => {
    Object.assign(registry.gateway, { challenges: 'renamed at last', responseParameters: parameters });
    registry.distribution.viewerResponse = edge('viewer-response.js');
    assert.equal((await challengeOf())['www-authenticate'], undefined);
    registry.distribution.originResponse = edge('origin-response.cjs');
    const headers = await challengeOf();
    assert.match(headers['www-authenticate'] ?? '', /^Bearer realm="http:\/\/127/);
    for (const name of Object.keys(headers)) assert.doesNotMatch(name, /^(stowage|x-amzn-remapped)-www/);
  });

  it('come for the token service as well', async () => {
    registry.gateway.challenges = 'renamed';
    registry.gateway.responseParameters = parameters;
    const headers = basic('alice', 'wrong');
    const reply = await send(registry.url, { method: 'GET', path: '/token', headers });
    assert.deepEqual([reply.status, reply.headers['www-authenticate']?.split(' ')[0]], [401, 'Basic']);
  });

  for (const headLength of ['dropped', 'zero'] as const)
    it(`let clients log in, push and pull where all are changed, and the length of HEAD is ${headLength}`, async () => {
      Object.assign(registry.gateway, { challenges: 'renamed at last', headLength });
      const args = ['smoke', registry.url, '--user', 'alice', '--json'];
      const failed = async () => {
        const { checks } = JSON.parse((await runStowage(args, env)).output) as {
          checks: { name: string; status: string }[];
        };
        return checks.filter(({ status }) => status === 'failed').map(({ name }) => name);
      };
      assert.deepEqual(await failed(), ['challenge']);
      registry.distribution.originResponse = edge('origin-response.cjs');
      assert.deepEqual(await failed(), ['head-manifest', 'head-blob']);
      registry.distribution.viewerResponse = edge('viewer-response.js');
      assert.deepEqual(await failed(), []);
    });

  it('let skopeo log in, push, and find layers by their length', requires('skopeo'), async () => {
    Object.assign(registry.gateway, { challenges: 'renamed at last', headLength: 'zero' });
    Object.assign(registry.distribution, {
      originResponse: edge('origin-response.cjs'),
      viewerResponse: edge('viewer-response.js'),
    });
    const tool = await skopeo();
    const client = await skopeoClient(tool);
    const { host } = new URL(registry.url);
    await client.login(host, 'alice', passwordOf('alice'));
    const blobs = await client.push(`${host}/edge/app:v1`);
    // Its layers are there: each is asked for by HEAD, and not pushed again.
    await client.push(`${host}/edge/app:v2`);
    assert.equal(await client.pull(`${host}/edge/app:v2`), blobs);
    tool.remove();
  });

  it('come back by what the template has', () => {
    const { Fargate: parameters } = examples;
    assert.ok(parameters);
    const { Resources } = cloudfront(parameters);
    const { FunctionCode, AutoPublish } = Resources['ViewerResponse']?.Properties ?? {};
    assert.deepEqual([FunctionCode, AutoPublish], [readFileSync(edge('viewer-response.js'), 'utf8'), true]);
    const text = JSON.stringify(Resources['Distribution']);
    assert.match(text, /"viewer-response","FunctionARN":\{"Fn::GetAtt":\["ViewerResponse","FunctionARN"\]/);
    const { HttpApiIntegrationUploads: integration } = apiExtensions(parameters) as Record<string, object>;
    assert.deepEqual(integration, { Properties: { ResponseParameters: responseParameters } });
  });

  it('are those that CloudFront lets functions change', async () => {
    const folder = await temporaryFolder('edge');
    const file = join(folder.path, 'via.js');
    writeFileSync(
      file,
      "function handler(event) { event.response.headers.via = { value: 'x' }; return event.response; }",
    );
    registry.distribution.viewerResponse = pathToFileURL(file);
    const reply = await send(registry.url, { method: 'GET', path: '/livez' });
    assert.deepEqual(
      [reply.status, reply.headers['x-cache']],
      [502, 'FunctionValidationError from cloudfront'],
    );
    folder.remove();
  });
});
