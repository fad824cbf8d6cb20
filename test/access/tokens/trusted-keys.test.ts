import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import { command } from '../../servers/process.ts';
import { requires } from '../../servers/requires.ts';
import { ExternalRegistries, keySet, listTags, newSigner, payload } from './external-server.ts';
import { genuine, jws, signature, type Signer } from './forgeries.ts';

describe('the keys of REGISTRY_AUTH=token', () => {
  const registries = new ExternalRegistries();
  after(async () => {
    await registries.stop();
  });

  /** A certificate by openssl, signed by itself, and its key. */
  async function certificate(...algorithm: string[]): Promise<{ pem: string; signer: Signer }> {
    const [key, out] = [await registries.file(''), await registries.file('')];
    const subject = ['-subj', '/CN=token server', '-days', '1', '-nodes'];
    await command('openssl', ['req', '-x509', ...algorithm, ...subject, '-keyout', key, '-out', out]);
    const [pem, privateKey] = [await readFile(out, 'utf8'), createPrivateKey(await readFile(key, 'utf8'))];
    return { pem, signer: { alg: 'ES256', kid: 'x', privateKey, publicKey: createPublicKey(pem) } };
  }

  const ecdsa = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];

  const status = async (url: string, token: string) => (await listTags(url, token)).status;

  it('come from a bundle of certificates, with whatever text around them', requires('openssl'), async () => {
    const [one, two, other] = [
      await certificate(...ecdsa),
      await certificate(...ecdsa),
      await certificate(...ecdsa),
    ];
    const bundle = `# our token servers\r\n${one.pem}\nsecond:\n${two.pem.replaceAll('\n', '\r\n')}`;
    const url = await registries.start({ ROOTCERTBUNDLE: await registries.file(bundle) });
    for (const { signer } of [one, two])
      for (const header of [
        {},
        { kid: undefined },
        { x5c: [other.pem.replace(/-----[A-Z ]+-----|\s/g, '')] },
      ])
        assert.equal(await status(url, genuine(signer, payload(), header)), 404);
    const x5c = [other.pem, one.pem].map((pem) => pem.replace(/-----[A-Z ]+-----|\s/g, ''));
    assert.equal(await status(url, genuine(other.signer, payload(), { x5c })), 401);
  });

  it('come from a certificate of RSA', requires('openssl'), async () => {
    const { pem, signer } = await certificate('-newkey', 'rsa:2048');
    const url = await registries.start({ ROOTCERTBUNDLE: await registries.file(pem) });
    const token = jws({ alg: 'RS256' }, payload(), signature('RS256', signer.privateKey));
    assert.equal(await status(url, token), 404);
    const wrong = jws({ alg: 'ES256' }, payload(), signature('RS256', signer.privateKey));
    assert.equal(await status(url, wrong), 401);
  });

  it('come from a bundle and a key set together', requires('openssl'), async () => {
    const [ofBundle, ofSet] = [await certificate(...ecdsa), newSigner('set')];
    const url = await registries.start({
      ROOTCERTBUNDLE: await registries.file(ofBundle.pem),
      JWKS: await registries.file(keySet(ofSet)),
    });
    for (const signer of [ofBundle.signer, ofSet])
      assert.equal(await status(url, genuine(signer, payload())), 404);
  });

  it('of unknown types in a key set, and those for encryption, are left out', async () => {
    const [signer, encryption] = [newSigner('one'), newSigner('two')];
    const { keys } = JSON.parse(keySet(signer)) as { keys: object[] };
    const [forEncryption = {}] = (JSON.parse(keySet(encryption)) as { keys: object[] }).keys;
    const more = [{ kty: 'AKP', pub: 'x' }, {}, { ...forEncryption, use: 'enc' }];
    const url = await registries.start({
      JWKS: await registries.file(JSON.stringify({ keys: [...more, ...keys] })),
    });
    assert.equal(await status(url, genuine(signer, payload())), 404);
    assert.equal(await status(url, genuine(encryption, payload())), 401);
  });

  const { privateKey } = newSigner('one');
  const oct = (size: number) => ({ kty: 'oct', k: Buffer.alloc(size, 'x').toString('base64url') });
  const refused: Readonly<Record<string, readonly [setting: string, content: string, said: RegExp]>> = {
    'an empty file': ['JWKS', '', /it is no JSON$/],
    'a file that is no JSON': ['JWKS', '{"keys":[{"k":"a secret thing"', /it is no JSON$/],
    null: ['JWKS', 'null', /it is no JSON Web Key Set/],
    'JSON without keys': ['JWKS', '{}', /it is no JSON Web Key Set/],
    'a key set with null': ['JWKS', '{"keys":[null]}', /it is no JSON Web Key Set/],
    'an empty key set': ['JWKS', '{"keys":[]}', /it has no key for signatures by EdDSA, /],
    'a key set with shared secrets alone': ['JWKS', JSON.stringify({ keys: [oct(32)] }), /it has no key for/],
    'a shared secret that is short': [
      'JWKS',
      JSON.stringify({ keys: [oct(31)] }),
      /of 31 bytes; 32 are the least/,
    ],
    'a shared secret that is missing': ['JWKS', '{"keys":[{"kty":"oct"}]}', /of 0 bytes/],
    'a key that is cut': ['JWKS', '{"keys":[{"kty":"EC","crv":"P-256","x":"AA"}]}', /cannot be used/],
    '51 keys': [
      'JWKS',
      keySet(...Array.from({ length: 51 }, (_, index) => newSigner(String(index)))),
      /it has 51 keys; 50 are the most/,
    ],
    'an empty bundle': ['ROOTCERTBUNDLE', '', /it has no key/],
    'a private key in the place of a certificate': [
      'ROOTCERTBUNDLE',
      String(privateKey.export({ format: 'pem', type: 'pkcs8' })),
      /it has no key/,
    ],
    'a certificate that is cut': [
      'ROOTCERTBUNDLE',
      '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n',
      /cannot be used/,
    ],
  };
  for (const [what, [setting, content, said]] of Object.entries(refused))
    it(`cannot come from ${what}: the start fails and names the setting`, async () => {
      const path = await registries.file(content);
      await assert.rejects(registries.start({ [setting]: path }), ({ message }: Error) => {
        assert.ok(message.startsWith(`REGISTRY_AUTH_TOKEN_${setting}: ${path} cannot be used: `), message);
        assert.match(message, said);
        assert.doesNotMatch(message, /secret thing|PRIVATE/);
        return true;
      });
    });

  for (const setting of ['JWKS', 'ROOTCERTBUNDLE'])
    it(`cannot come from a file in ${setting} that is missing: the start fails and names the setting`, async () => {
      const path = await registries.file('');
      await rm(path);
      await assert.rejects(registries.start({ [setting]: path }), {
        message: new RegExp(`^REGISTRY_AUTH_TOKEN_${setting}: ${path} cannot be used: ENOENT`),
      });
    });
});
