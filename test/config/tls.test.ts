import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { loadConfig, type Config } from '../../lib/config/config.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { authority, type Pair } from '../servers/openssl.ts';
import { command } from '../servers/process.ts';
import { requires } from '../servers/requires.ts';
import { faultsOf } from './faults.ts';

describe('the settings of TLS', requires('openssl'), () => {
  let folder: Folder;
  let pair: Pair;
  let other: Pair;
  let authorities: string;

  before(async () => {
    folder = await temporaryFolder('tls-config');
    const issuer = await authority(folder.path);
    authorities = issuer.certificate;
    pair = await issuer.issue('server');
    other = await issuer.issue('other');
  });

  after(() => {
    folder.remove();
  });

  const load = (settings: NodeJS.ProcessEnv, program: 'server' | 'data-plane' | 'maintenance' = 'server') =>
    loadConfig(program, { ...settings, REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: '/images' });

  const ofPair = ({ certificate, key }: Pair): NodeJS.ProcessEnv => ({
    REGISTRY_HTTP_TLS_CERTIFICATE: certificate,
    REGISTRY_HTTP_TLS_KEY: key,
  });
  const withPair = (more: NodeJS.ProcessEnv = {}): Config => load({ ...ofPair(pair), ...more });

  it('a certificate and its key turn TLS on, from version 1.2', () => {
    const { tls } = withPair();
    assert.equal(tls?.minVersion, 'TLSv1.2');
    assert.equal(tls.certificates.key, readFileSync(pair.key, 'utf8'));
    assert.equal(tls.clientCertificates, 'none');
    assert.equal(load({}).tls, undefined);
  });

  it('a certificate without its key, and a key without its certificate, are refused', () => {
    assert.deepEqual(faultsOf({ REGISTRY_HTTP_TLS_CERTIFICATE: pair.certificate }), [
      'REGISTRY_HTTP_TLS_KEY: missing; name the file with the key of REGISTRY_HTTP_TLS_CERTIFICATE',
    ]);
    assert.deepEqual(faultsOf({ REGISTRY_HTTP_TLS_KEY: pair.key }), [
      'REGISTRY_HTTP_TLS_CERTIFICATE: missing; name the file with the certificate of REGISTRY_HTTP_TLS_KEY',
    ]);
  });

  it('all files that cannot be used are named in one message', () => {
    const [missing, empty] = [join(folder.path, 'missing.pem'), join(folder.path, 'empty.pem')];
    writeFileSync(empty, '');
    const faults = faultsOf({
      REGISTRY_HTTP_TLS_CERTIFICATE: missing,
      REGISTRY_HTTP_TLS_KEY: folder.path,
      REGISTRY_HTTP_TLS_CLIENTCAS: JSON.stringify([authorities, empty]),
    });
    assert.deepEqual(faults, [
      `REGISTRY_HTTP_TLS_CERTIFICATE: ${missing} does not exist; name a PEM file that exists and that this user may read`,
      `REGISTRY_HTTP_TLS_KEY: ${folder.path} is a folder; name a PEM file that exists and that this user may read`,
      `REGISTRY_HTTP_TLS_CLIENTCAS: ${empty} has no certificate in PEM (-----BEGIN CERTIFICATE-----)`,
    ]);
  });

  it('a key of another certificate is refused', () => {
    assert.deepEqual(faultsOf(ofPair({ ...pair, key: other.key })), [
      `REGISTRY_HTTP_TLS_KEY: ${other.key} is not the key of the certificate in ${pair.certificate}, which must be the first in its file`,
    ]);
  });

  it('a key with a password is refused with the command that removes it', async () => {
    const key = join(folder.path, 'encrypted.key');
    await command('openssl', ['pkey', '-in', pair.key, '-aes256', '-passout', 'pass:secret', '-out', key]);
    assert.match(faultsOf(ofPair({ ...pair, key }))[0] ?? '', /is encrypted; decrypt it: openssl pkey -in /);
  });

  it('a file with several authorities is refused unless each is complete', () => {
    const bundle = join(folder.path, 'bundle.crt');
    const [whole, server] = [readFileSync(authorities, 'utf8'), readFileSync(pair.certificate, 'utf8')];
    const lines = server.split('\n');
    const withBundle = (text: string) => {
      writeFileSync(bundle, text);
      return faultsOf({ ...ofPair(pair), REGISTRY_HTTP_TLS_CLIENTCAS: bundle });
    };
    assert.deepEqual(withBundle(`# of us\n${whole}\n# of others\r\n${server.replaceAll('\n', '\r\n')}`), []);
    for (const part of [lines.slice(0, 4), lines.slice(0, 1), lines.slice(3)].map((some) => some.join('\n')))
      for (const text of [`${whole}${part}`, `${part}\n${whole}`])
        assert.match(withBundle(text)[0] ?? '', /CLIENTCAS: .*bundle\.crt is incomplete: .*write the whole/);
    const damaged = lines.toSpliced(2, 1).join('\n');
    assert.match(withBundle(`${whole}${damaged}`)[0] ?? '', /certificate 2 in .*bundle\.crt is damaged/);
  });

  it('a certificate where the key belongs is refused without showing its content', () => {
    const [fault = ''] = faultsOf(ofPair({ ...pair, key: pair.certificate }));
    assert.match(fault, /has no private key in PEM/);
    const swapped = faultsOf(ofPair({ certificate: pair.key, key: pair.certificate }));
    assert.equal(swapped.length, 2);
  });

  it('a certificate that has expired is a warning', async () => {
    const issuer = await authority(folder.path, 'past');
    const expired = await issuer.issue('expired', undefined, '-days', '-1');
    const [warning = ''] = load(ofPair(expired)).warnings;
    assert.match(warning, /expired\.crt expired on 20\d\d-.*, so clients refuse it; renew it$/);
    assert.deepEqual(withPair().warnings, []);
  });

  it('versions of TLS before 1.2 are refused', () => {
    for (const version of ['tls1.0', 'tls1.1'])
      assert.match(
        faultsOf({ ...ofPair(pair), REGISTRY_HTTP_TLS_MINIMUMTLS: version })[0] ?? '',
        /is insecure and not spoken here; set tls1\.2 or tls1\.3/,
      );
    assert.match(
      faultsOf({ ...ofPair(pair), REGISTRY_HTTP_TLS_MINIMUMTLS: '1.3' })[0] ?? '',
      /"1\.3" is not one of tls1\.2, tls1\.3$/,
    );
    assert.equal(withPair({ REGISTRY_HTTP_TLS_MINIMUMTLS: 'TLS1.3' }).tls?.minVersion, 'TLSv1.3');
  });

  it("cipher suites have Go's names, and unknown or insecure ones are refused", () => {
    const suites = (list: string) => ({ ...ofPair(pair), REGISTRY_HTTP_TLS_CIPHERSUITES: list });
    const fixed = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';
    assert.equal(
      load(suites('[TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]')).tls?.ciphers,
      `${fixed}:ECDHE-RSA-AES128-GCM-SHA256`,
    );
    assert.equal(load(suites('TLS_AES_128_GCM_SHA256')).tls?.ciphers, undefined);
    assert.deepEqual(faultsOf(suites('[TLS_RSA_WITH_RC4_128_SHA, TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA]')), [
      'REGISTRY_HTTP_TLS_CIPHERSUITES: TLS_RSA_WITH_RC4_128_SHA, TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA are unknown or insecure and not spoken here; remove them',
    ]);
  });

  it('client certificates are required with an authority, unless the mode says if given', () => {
    const clients = { REGISTRY_HTTP_TLS_CLIENTCAS: authorities };
    assert.equal(withPair(clients).tls?.clientCertificates, 'required');
    const optional = { ...clients, REGISTRY_HTTP_TLS_CLIENTAUTH: 'verify-client-cert-if-given' };
    assert.equal(withPair(optional).tls?.clientCertificates, 'optional');
    assert.match(
      faultsOf({ ...ofPair(pair), ...clients, REGISTRY_HTTP_TLS_CLIENTAUTH: 'request-client-cert' })[0] ?? '',
      /certificates that are not verified say nothing$/,
    );
    assert.match(faultsOf(clients)[0] ?? '', /has no effect without REGISTRY_HTTP_TLS_CERTIFICATE/);
    assert.match(
      faultsOf({ ...ofPair(pair), REGISTRY_HTTP_TLS_CLIENTAUTH: 'verify-client-cert-if-given' })[0] ?? '',
      /has no effect without REGISTRY_HTTP_TLS_CLIENTCAS/,
    );
  });

  it('HTTP/2 over TLS is off unless it is enabled, and has nothing to do with h2c', () => {
    assert.equal(withPair().http2, false);
    assert.equal(withPair({ REGISTRY_HTTP_HTTP2_DISABLED: 'false' }).http2, true);
    assert.match(
      faultsOf({ ...ofPair(pair), REGISTRY_HTTP_H2C_ENABLED: 'true' })[0] ?? '',
      /^REGISTRY_HTTP_H2C_ENABLED: means HTTP\/2 without TLS.*set REGISTRY_HTTP_HTTP2_DISABLED=false/,
    );
  });

  it('a program that does not listen takes the settings without the files', () => {
    const missing = { certificate: '/no/such.crt', key: '/no/such.key' };
    assert.equal(load(ofPair(missing), 'maintenance').tls, undefined);
  });

  it('settings of Let’s Encrypt are refused with what renews certificates instead', () => {
    assert.match(
      faultsOf({ REGISTRY_HTTP_TLS_LETSENCRYPT_HOSTS: '[a]' })[0] ?? '',
      /certbot, lego or cert-manager .*, and remove it$/,
    );
  });

  it('a certificate below another one in its file is not the one of the key', () => {
    const chain = join(folder.path, 'chain.crt');
    writeFileSync(chain, readFileSync(authorities, 'utf8') + readFileSync(pair.certificate, 'utf8'));
    assert.match(
      faultsOf(ofPair({ ...pair, certificate: chain }))[0] ?? '',
      /must be the first in its file$/,
    );
  });
});
