/*
 * All settings: those of this registry, and those of distribution's reference configuration, versions 2.8 and 3. The reader of
 * the configuration file, the refusal of variables and the table in docs/configuration-file.md use this one list.
 */

/** What a setting does here. */
export type Setting = Working | Ignored | Refused;

interface Common {
  /** Whether the settings below it are meant as well. Data such as names of headers has no entries of its own. */
  readonly below?: true;
}

export interface Working extends Common {
  readonly kind: 'works';
  /**
   * The form of the value. A list or map is given to the program as JSON, `words` as texts between commas.
   * @default a single value
   */
  readonly form?: 'list' | 'map' | 'words';
  /** Whether the value must not be shown. */
  readonly secret?: true;
  /** How it differs from distribution, for the documentation. */
  readonly note?: string;
}

/** Changes neither answers nor access. A warning names it. */
export interface Ignored extends Common {
  readonly kind: 'ignored';
  /** Why, for the documentation. */
  readonly note: string;
  /** Whether a value needs no warning. */
  readonly harmless?: (value: unknown) => boolean;
}

/** Changes answers or access in distribution, and has no meaning here. */
export interface Refused extends Common {
  readonly kind: 'refused';
  /** The reason and the remedy. */
  readonly remedy: string;
  /** Whether a value asks for nothing that is missing here, such as `false`. None does by default. */
  readonly harmless?: (value: unknown) => boolean;
  /** Which values these are, for the documentation. */
  readonly allowed?: string;
}

const works: Setting = { kind: 'works' };
const secret: Setting = { kind: 'works', secret: true };
const list: Setting = { kind: 'works', form: 'list', below: true };
const map: Setting = { kind: 'works', form: 'map', below: true };
const words: Setting = { kind: 'works', form: 'words', below: true };
const differs = (note: string): Setting => ({ kind: 'works', note });
const ignored = (note: string): Setting => ({ kind: 'ignored', note });
const refused = (remedy: string, ...allowed: readonly string[]): Refused => ({
  kind: 'refused',
  remedy,
  ...(allowed.length === 0
    ? {}
    : {
        harmless: (value) => allowed.includes(String(value).toLowerCase()),
        allowed: allowed.map((value) => `\`${value}\``).join(', '),
      }),
});
const section = (setting: Setting): Setting => ({ ...setting, below: true });

const foreignDriver = (name: string): Setting =>
  section(
    refused(
      `there is no driver for ${name}; copy the images to a folder, S3 or SCS, or keep a registry of distribution`,
    ),
  );

/** A list of which distribution uses only the entries that are not disabled. */
const refusedUnlessDisabled = (remedy: string): Setting => ({
  kind: 'refused',
  below: true,
  remedy,
  harmless: (value) => Array.isArray(value) && value.every(isDisabled),
  allowed: 'entries with `disabled: true`',
});

function isDisabled(entry: unknown): boolean {
  return typeof entry === 'object' && entry !== null && String(Reflect.get(entry, 'disabled')) === 'true';
}

const middleware = refusedUnlessDisabled(
  'middleware of distribution cannot run here; remove it. Pulls are redirected to signed URLs of the bucket, unless REGISTRY_STORAGE_REDIRECT_DISABLE is true',
);

const pages = 'a page has at most 1000 names, and its Link leads to the next';
const redis = 'nothing is stored in Redis';

/** By path in the file. The variable of `a.b.c` is `REGISTRY_A_B_C`, that of `search.a` is `SEARCH_A`. */
export const settingTable: Readonly<Record<string, Setting>> = {
  version: differs('Only `0.1`.'),

  'log.level': works,
  'log.formatter': differs('`json` by default.'),
  'log.fields': map,
  'log.accesslog.disabled': works,
  'log.hooks': refusedUnlessDisabled(
    'the log sends no mail; watch it where it is collected, and remove the hooks',
  ),
  'log.reportcaller': ignored('lines of the log name no line of code'),
  loglevel: differs('The old name of `log.level`, which overrides it.'),

  storage: differs('`filesystem`, `s3` (also `s3aws`) or `scs`.'),
  'storage.filesystem.rootdirectory': works,
  'storage.filesystem.maxthreads': ignored('concurrency is limited by http.maxuploads'),
  'storage.s3.accesskey': secret,
  'storage.s3.secretkey': secret,
  'storage.s3.sessiontoken': secret,
  'storage.s3.region': works,
  'storage.s3.regionendpoint': works,
  'storage.s3.forcepathstyle': differs('`true` by default with a `regionendpoint`, as in 2.8.'),
  'storage.s3.bucket': works,
  'storage.s3.encrypt': works,
  'storage.s3.keyid': works,
  'storage.s3.secure': works,
  'storage.s3.skipverify': works,
  'storage.s3.v4auth': differs('Only `true`.'),
  'storage.s3.chunksize': works,
  'storage.s3.multipartcopychunksize': works,
  'storage.s3.multipartcopymaxconcurrency': works,
  'storage.s3.multipartcopythresholdsize': works,
  'storage.s3.rootdirectory': works,
  'storage.s3.storageclass': works,
  'storage.s3.equalparts': works,
  'storage.s3.conditionalwrites': works,
  'storage.s3.useragent': ignored('the bucket is told `stowage`'),
  'storage.s3.loglevel': ignored('requests to the bucket are not logged one by one'),
  'storage.s3.objectacl': refused('objects get no ACL; use a bucket policy, and remove it', 'private'),
  'storage.s3.accelerate': refused(
    'not supported; name the accelerated endpoint in REGISTRY_STORAGE_S3_REGIONENDPOINT, with REGISTRY_STORAGE_S3_FORCEPATHSTYLE=false',
    'false',
  ),
  'storage.s3.usedualstack': refused(
    'not supported; name the dual-stack endpoint in REGISTRY_STORAGE_S3_REGIONENDPOINT',
    'false',
  ),
  'storage.s3.usefipsendpoint': refused(
    'not supported; name the FIPS endpoint in REGISTRY_STORAGE_S3_REGIONENDPOINT',
    'false',
  ),
  'storage.scs.accesskey': secret,
  'storage.scs.secretkey': secret,
  'storage.scs.region': works,
  'storage.scs.bucket': works,
  'storage.scs.chunksize': works,
  'storage.scs.rootdirectory': works,
  'storage.scs.secure': works,
  'storage.scs.regionendpoint': works,
  'storage.scs.skipverify': works,
  'storage.azure': foreignDriver('Azure'),
  'storage.gcs': foreignDriver('Google Cloud Storage'),
  'storage.swift': foreignDriver('Swift; its S3 API (s3api) works'),
  'storage.oss': foreignDriver('Alibaba OSS; its S3 API may work'),
  'storage.inmemory': section(
    refused('images are not kept in memory; name a folder in REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY'),
  ),
  'storage.tag.concurrencylimit': ignored('a delete finds tags by listings'),
  'storage.delete.enabled': differs('`true` by default.'),
  'storage.redirect.disable': works,
  'storage.cache': section(ignored('no cache needs to be set up')),
  'storage.maintenance.uploadpurging': {
    kind: 'ignored',
    note: '`stowage purge-uploads` removes abandoned uploads; run it daily',
    below: true,
    // A warning of its own is printed unless it is off.
    harmless: () => true,
  },
  'storage.maintenance.readonly.enabled': works,

  auth: differs('One of `htpasswd`, `token`, `policy` and `none`; `policy` may be beside `htpasswd`.'),
  'auth.htpasswd.realm': works,
  'auth.htpasswd.path': differs('It must exist; no user is made up.'),
  'auth.htpasswd.content': secret,
  'auth.token.realm': works,
  'auth.token.service': works,
  'auth.token.issuer': works,
  'auth.token.rootcertbundle': works,
  'auth.token.jwks': works,
  'auth.token.signingalgorithms': words,
  'auth.token.autoredirect': works,
  'auth.token.autoredirectpath': works,
  'auth.policy.path': works,
  'auth.policy.object': works,
  'auth.policy.service': works,
  'auth.policy.secret': secret,
  'auth.policy.secret_previous': secret,
  'auth.policy.publickeys': words,
  'auth.silly': section(
    refused('it lets everybody in who sends any password; set REGISTRY_AUTH to htpasswd, token or policy'),
  ),

  'retention.path': works,
  'retention.object': works,

  'gc.enabled': works,
  'gc.delay': works,
  'gc.deleteuntagged': works,
  'gc.exclusive': works,
  'gc.fence': works,
  'gc.margin': works,

  'middleware.registry': middleware,
  'middleware.repository': middleware,
  'middleware.storage': middleware,
  reporting: section(ignored('faults are reported nowhere but in the log')),

  'http.addr': differs('`127.0.0.1:5000` by default.'),
  'http.net': works,
  'http.prefix': works,
  'http.host': differs('Without a path, or with that of `http.prefix`.'),
  'http.secret': secret,
  'http.secret_previous': secret,
  'http.relativeurls': works,
  'http.draintimeout': works,
  'http.dataplane': works,
  'http.maxuploads': works,
  'http.workers': works,
  'http.trustedproxies': words,
  'http.cors.origins': words,
  'http.tls.certificate': works,
  'http.tls.key': works,
  'http.tls.clientcas': list,
  'http.tls.clientauth': differs('`require-and-verify-client-cert` or `verify-client-cert-if-given`.'),
  'http.tls.minimumtls': works,
  'http.tls.ciphersuites': list,
  'http.tls.letsencrypt': section(
    refused(
      'certificates are not fetched here; let certbot, lego or cert-manager renew the files of REGISTRY_HTTP_TLS_CERTIFICATE and REGISTRY_HTTP_TLS_KEY, which are read again when they change, and remove it',
    ),
  ),
  'http.debug.addr': works,
  'http.debug.prometheus.enabled': works,
  'http.debug.prometheus.path': works,
  'http.headers': map,
  'http.http2.disabled': differs('`true` by default.'),
  'http.h2c.enabled': works,

  'notifications.events.includereferences': works,
  'notifications.endpoints': {
    kind: 'works',
    form: 'list',
    below: true,
    secret: true,
    note: 'With more than in distribution, and without pulls unless `actions` has them ([events](events.md)).',
  },
  'notifications.queue': differs('For functions alone; a server refuses it.'),

  redis: section(ignored(redis)),

  'health.storagedriver.enabled': works,
  'health.storagedriver.interval': works,
  'health.storagedriver.threshold': works,
  'health.file': list,
  'health.http': { kind: 'works', form: 'list', below: true, secret: true },
  'health.tcp': list,

  'proxy.remoteurl': differs('With `https://`, unless `proxy.insecure` is `true`.'),
  'proxy.username': works,
  'proxy.password': secret,
  'proxy.ttl': differs('Counts from the last use; see [cache](cache.md).'),
  'proxy.insecure': works,
  'proxy.privateaddresses': works,
  'proxy.upstreams': { kind: 'works', form: 'list', below: true, secret: true },
  'proxy.copyfunction': differs('For functions alone; a server refuses it.'),
  'proxy.exec': section(
    refused(
      'no program is run for credentials; set REGISTRY_PROXY_USERNAME and REGISTRY_PROXY_PASSWORD, and remove it',
    ),
  ),
  'catalog.maxentries': ignored(pages),
  'tags.maxtags': ignored(pages),

  'policy.repository.classes': section(
    refused(
      'classes of images are not checked; say who may push in the policy of REGISTRY_AUTH=policy, and remove it',
    ),
  ),
  'compatibility.schema1.enabled': refused(
    'pushes of schema 1 are refused, and old manifests are served as they are stored; remove it',
    'false',
  ),
  'compatibility.schema1.signingkeyfile': ignored('manifests are not signed anew'),
  'validation.enabled': ignored('`validation.disabled` took its place in distribution'),
  'validation.disabled': refused(
    'manifests are always checked; to accept an index without its images, set REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMS=none',
    'false',
  ),
  'validation.manifests.urls': section(
    refused(
      'the URLs of layers on other servers are not checked, and any http:// or https:// URL is accepted; remove it, or check manifests before they are pushed',
    ),
  ),
  'validation.manifests.indexes.platforms': works,
  'validation.manifests.indexes.platformlist': words,

  'metrics.cloudwatch.namespace': differs('Of functions, which take variables.'),

  'search.backend': differs('Not of distribution: `mysql` or `local`.'),
  'search.backend.mysql': secret,
  'search.backend.local': works,
};
