import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { send, type Reply } from '../../functions/client.ts';
import { startPlanes, type Planes } from '../../functions/planes.ts';
import { passwordOf, policySettings, type PolicySettings } from '../policy-registry.ts';

const policy = `
rules:
  - { who: alice, repositories: team/**, allow: [pull, push] }
`;

const formType = 'application/x-www-form-urlencoded';

async function post(
  base: string,
  form: Readonly<Record<string, string>> | string | Buffer,
  contentType: string | undefined = formType,
): Promise<Reply> {
  const body = Buffer.isBuffer(form) ? form : Buffer.from(new URLSearchParams(form).toString());
  const headers = contentType === '' ? {} : { 'content-type': contentType };
  return await send(base, { method: 'POST', path: '/token', headers, body });
}

const alice = { grant_type: 'password', username: 'alice', password: passwordOf('alice') };

describe('POST /token', () => {
  let access: PolicySettings;
  let planes: Planes;
  before(async () => {
    access = await policySettings(policy, ['alice']);
    planes = await startPlanes(access.settings);
  });
  after(async () => {
    await planes.stop();
    access.remove();
  });

  for (const way of ['server', 'gateway'] as const) {
    it(`issues a token for a password, as containerd asks for it, through the ${way}`, async () => {
      const scope = 'repository:team/app:pull,push repository:other:pull';
      const reply = await post(planes[way], {
        ...alice,
        client_id: 'containerd-client',
        scope,
        service: 'stowage',
        access_type: 'offline',
      });
      const response = JSON.parse(reply.body.toString()) as Record<string, string>;
      assert.equal(reply.status, 200, reply.body.toString());
      assert.equal(reply.headers['cache-control'], 'no-store');
      assert.equal(response['scope'], 'repository:team/app:pull,push');
      assert.equal(response['access_token'], response['token']);
      const authorization = `Bearer ${response['access_token'] ?? ''}`;
      const list = { method: 'GET', path: '/v2/team/app/tags/list', headers: { authorization } };
      assert.equal((await send(planes[way], list)).status, 404);

      const form = { grant_type: 'refresh_token', refresh_token: response['refresh_token'] ?? '', scope };
      const again = JSON.parse((await post(planes[way], form)).body.toString()) as Record<string, string>;
      assert.equal(again['scope'], 'repository:team/app:pull,push');
    });

    it(`refuses a wrong password with 401, through the ${way}`, async () => {
      const reply = await post(planes[way], { ...alice, password: 'wrong' });
      assert.equal(reply.status, 401);
      assert.match(String(reply.headers['www-authenticate']), /^Basic /);
      assert.match(reply.body.toString(), /"UNAUTHORIZED"/);
    });

    it(`refuses a form of more than 64 KiB, through the ${way}`, async () => {
      const reply = await post(planes[way], { ...alice, padding: 'x'.repeat(64 * 1024) });
      assert.equal(reply.status, 400);
      assert.match(reply.body.toString(), /"SIZE_INVALID".*65536 bytes/);
    });
  }

  it('takes a form of almost 64 KiB', async () => {
    const reply = await post(planes.server, { ...alice, padding: 'x'.repeat(63 * 1024) });
    assert.equal(reply.status, 200);
  });

  it('counts a form that comes without its length', async () => {
    const body = Buffer.alloc(200 * 1024, 'x');
    const headers = { 'content-type': formType };
    const reply = await send(planes.server, { method: 'POST', path: '/token', headers, body, chunked: true });
    assert.equal(reply.status, 400);
  });

  for (const contentType of [
    'application/x-www-form-urlencoded; charset=utf-8',
    'Application/X-WWW-Form-URLEncoded',
  ])
    it(`takes the type ${contentType}`, async () => {
      assert.equal((await post(planes.server, alice, contentType)).status, 200);
    });

  for (const contentType of ['application/json', 'multipart/form-data', 'text/plain', ''])
    it(`refuses the type ${contentType || 'that is missing'} with 400`, async () => {
      const reply = await post(planes.server, alice, contentType);
      assert.equal(reply.status, 400);
      assert.match(reply.body.toString(), /application\/x-www-form-urlencoded/);
    });

  const refused: Readonly<Record<string, readonly [Record<string, string> | string, RegExp]>> = {
    'no grant_type': [{ username: 'alice', password: passwordOf('alice') }, /grant_type must be/],
    'grant_type=client_credentials': [{ ...alice, grant_type: 'client_credentials' }, /grant_type must be/],
    'no username': [{ grant_type: 'password', password: 'x' }, /must have username/],
    'no password': [{ grant_type: 'password', username: 'alice' }, /must have password/],
    'no refresh_token': [{ grant_type: 'refresh_token' }, /must have refresh_token/],
    'two user names': ['grant_type=password&username=alice&username=bob&password=x', /username/],
    'another service': [{ ...alice, service: 'other' }, /service/],
    'nothing at all': ['', /grant_type must be/],
  };
  for (const [what, [form, message]] of Object.entries(refused))
    it(`refuses ${what} with 400`, async () => {
      const reply = await post(planes.server, form);
      assert.equal(reply.status, 400, reply.body.toString());
      assert.match(reply.body.toString(), message);
    });

  it('refuses bytes that are no form', async () => {
    const bytes = Buffer.from([0xff, 0xfe, 0x00, 0x26, 0x3d, 0x25]);
    assert.equal((await post(planes.server, bytes)).status, 400);
  });

  it('gives no refresh token unless asked', async () => {
    for (const more of [{}, { access_type: 'online' }, { offline_token: 'true' }]) {
      const reply = await post(planes.server, { ...alice, ...more });
      assert.ok(!reply.body.toString().includes('refresh_token'));
    }
  });

  it('does not look at credentials in a header beside the form', async () => {
    const body = Buffer.from(new URLSearchParams({ ...alice, password: 'wrong' }).toString());
    const right = Buffer.from(`alice:${passwordOf('alice')}`).toString('base64');
    const headers = { 'content-type': formType, authorization: `Basic ${right}` };
    const reply = await send(planes.server, { method: 'POST', path: '/token', headers, body });
    assert.equal(reply.status, 401);
  });
});
