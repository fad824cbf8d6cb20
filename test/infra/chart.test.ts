import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { loadConfig } from '../../lib/config/config.ts';
import { settingTable } from '../../lib/config/setting-table.ts';
import { variableOf } from '../../lib/config/variables.ts';
import { testCertificate, testKey } from '../servers/certificate.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { goProgramPlace } from '../servers/go-programs.ts';
import { cleanEnvironment, command } from '../servers/process.ts';
import { requires } from '../servers/requires.ts';

const root = join(import.meta.dirname, '../..');
const chart = join(root, 'infra/chart');

const folder = await temporaryFolder('chart');

after(() => {
  folder.remove();
});

type Values = Readonly<Record<string, unknown>>;

/** What is used here of the objects. */
interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly annotations?: Record<string, string> };
  readonly spec: Record<string, unknown>;
  readonly data: Record<string, string>;
}

interface Pod {
  readonly terminationGracePeriodSeconds: number;
  readonly securityContext: unknown;
  readonly volumes: readonly Record<string, unknown>[];
  readonly containers: readonly [Container];
}

interface Container {
  readonly image: string;
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly envFrom: readonly { readonly secretRef: { readonly name: string } }[];
  readonly securityContext: unknown;
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
}

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string; readonly scheme: string };
}

const onFolder = { settings: { REGISTRY_AUTH: 'none' } };

const onBucket = {
  settings: {
    REGISTRY_AUTH: 'htpasswd',
    REGISTRY_STORAGE_S3_BUCKET: 'images',
    REGISTRY_STORAGE_S3_REGION: 'eu-west-1',
    REGISTRY_HTTP_MAXUPLOADS: 100_000,
    REGISTRY_STORAGE_DELETE_ENABLED: false,
  },
  secret: { values: { REGISTRY_AUTH_HTPASSWD_CONTENT: `user:$2y$05$${'a'.repeat(53)}\n` } },
  persistence: { enabled: false },
  replicas: 3,
  serviceAccount: { annotations: { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::123456789012:role/images' } },
};

const [certificate, key] = [join(folder.path, 'tls.crt'), join(folder.path, 'tls.key')];
await writeFile(certificate, testCertificate);
await writeFile(key, testKey);

/** Files in a pod, and those here that take their place. */
const files: Readonly<Record<string, string>> = {
  '/etc/stowage/tls/tls.crt': certificate,
  '/etc/stowage/tls/tls.key': key,
};

/** What docs/cache.md has for a cluster: values of the chart, and a DaemonSet. */
const page = await readFile(join(root, 'docs/cache.md'), 'utf8');
const [cacheValues = '', daemonSet = ''] = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(
  ([, text = '']) => text,
);

/** Several values that differ in what they make. */
const examples: Readonly<Record<string, Values>> = {
  'a folder': onFolder,
  'a bucket': onBucket,
  'a bucket with everything on': {
    ...onBucket,
    autoscaling: { enabled: true },
    tls: { secretName: 'tls' },
    metrics: { enabled: true },
    ingress: { enabled: true, className: 'nginx', host: 'images.example.com', tlsSecretName: 'web' },
    networkPolicy: {
      from: [{ namespaceSelector: {} }],
      metricsFrom: [{ podSelector: {} }],
      egress: [{ ports: [{ port: 443 }] }],
    },
    image: { digest: `sha256:${'0'.repeat(64)}` },
    imagePullSecrets: [{ name: 'pull' }],
    podAnnotations: { 'example.com/a': 'b' },
    nodeSelector: { 'kubernetes.io/arch': 'amd64' },
    tolerations: [{ key: 'a', operator: 'Exists' }],
    affinity: { podAntiAffinity: {} },
    extraVolumes: [{ name: 'policy', configMap: { name: 'policy' } }],
    extraVolumeMounts: [{ name: 'policy', mountPath: '/etc/stowage/policy' }],
    service: { type: 'LoadBalancer', annotations: { 'example.com/c': 'd' } },
  },
  'a shared folder': {
    ...onFolder,
    persistence: { accessMode: 'ReadWriteMany', storageClass: 'nfs' },
    replicas: 2,
  },
  'what is there': {
    ...onFolder,
    secret: { existing: 'mine' },
    persistence: { existingClaim: 'images' },
    serviceAccount: { create: false, name: 'mine' },
    networkPolicy: { enabled: false },
  },
  'a cache, as docs/cache.md says': parse(cacheValues) as Values,
};

describe('the chart', requires('helm', 'kubectl-validate'), () => {
  const helm = async (name: string, values: Values) => {
    const file = join(folder.path, 'values.json');
    await writeFile(file, JSON.stringify(values));
    const env = cleanEnvironment({ HOME: folder.path });
    const args = name === 'lint' ? ['lint', '--strict', chart] : ['template', 'images', chart];
    return (await command(goProgramPlace('helm').file, [...args, '--values', file], { env })).text;
  };

  const render = async (values: Values) => {
    const manifests = parseAllDocuments(await helm('template', values)).map(
      (one) => one.toJS() as Manifest | null,
    );
    return manifests.filter((one) => one !== null);
  };

  const find = (manifests: readonly Manifest[], kind: string) => manifests.find((one) => one.kind === kind);

  const podOf = (manifests: readonly Manifest[]) => {
    const { template } = find(manifests, 'Deployment')?.spec as { template: { spec: Pod } };
    return template.spec;
  };

  const refuses = async (values: Values, message: RegExp) => {
    await assert.rejects(helm('template', values), message);
  };

  for (const [what, values] of Object.entries(examples))
    it(`is valid in Kubernetes for ${what}`, async () => {
      await helm('lint', values);
      const file = join(folder.path, 'manifests.yaml');
      await writeFile(file, await helm('template', values));
      await command(goProgramPlace('kubectl-validate').file, [file]);
    });

  for (const [what, values] of Object.entries(examples))
    it(`passes settings to the registry that it takes, for ${what}`, async () => {
      const manifests = await render(values);
      const [{ env }] = podOf(manifests).containers;
      const secret = Object.entries(find(manifests, 'Secret')?.data ?? {});
      const settings = Object.fromEntries([
        ...env.map(({ name, value }) => [name, files[value] ?? value] as const),
        ...secret.map(([name, value]) => [name, Buffer.from(value, 'base64').toString()] as const),
      ]);
      assert.equal(
        typeof loadConfig('server', { STOWAGE_IMAGE: 'true', ...settings }).storage.kind,
        'string',
      );
    });

  it('has a DaemonSet beside it in docs/cache.md that is valid', async () => {
    const file = join(folder.path, 'daemonset.yaml');
    assert.match(daemonSet, /^kind: DaemonSet$/m);
    await writeFile(file, daemonSet);
    await command(goProgramPlace('kubectl-validate').file, [file]);
  });

  it('gives its pods no rights, as Kubernetes restricts them', async () => {
    const { securityContext, containers } = podOf(await render(onFolder));
    assert.deepEqual(securityContext, {
      runAsNonRoot: true,
      runAsUser: 65532,
      runAsGroup: 65532,
      fsGroup: 65532,
      fsGroupChangePolicy: 'OnRootMismatch',
      seccompProfile: { type: 'RuntimeDefault' },
    });
    assert.deepEqual(containers[0].securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });

  it('probes the process and the bucket, with TLS where the registry has it', async () => {
    for (const [tls, scheme] of [
      ['', 'HTTP'],
      ['tls', 'HTTPS'],
    ] as const) {
      const [container] = podOf(await render({ ...onFolder, tls: { secretName: tls } })).containers;
      assert.deepEqual(container.livenessProbe.httpGet, { path: '/livez', port: 'http', scheme });
      assert.deepEqual(container.readinessProbe.httpGet, { path: '/readyz', port: 'http', scheme });
    }
  });

  it('lets a stopped pod drain: 5 s for new connections, the drain timeout, and 5 s to end', async () => {
    const { terminationGracePeriodSeconds: period, containers } = podOf(
      await render({ ...onFolder, drainTimeoutSeconds: 90 }),
    );
    assert.equal(period, 100);
    assert.equal(containers[0].env.find(({ name }) => name === 'REGISTRY_HTTP_DRAINTIMEOUT')?.value, '90s');
  });

  it('keeps one pod of several while nodes are drained, and scales between two limits', async () => {
    const one = await render(onFolder);
    assert.equal(find(one, 'PodDisruptionBudget'), undefined);
    assert.equal(find(one, 'HorizontalPodAutoscaler'), undefined);
    const several = await render({
      ...onBucket,
      autoscaling: { enabled: true, minReplicas: 3, maxReplicas: 9 },
    });
    assert.equal(find(several, 'PodDisruptionBudget')?.spec['maxUnavailable'], 1);
    assert.equal(find(several, 'HorizontalPodAutoscaler')?.spec['minReplicas'], 3);
    assert.equal(find(several, 'HorizontalPodAutoscaler')?.spec['maxReplicas'], 9);
    // The autoscaler's number of pods would be reset at each upgrade.
    assert.equal('replicas' in (find(several, 'Deployment')?.spec ?? {}), false);
  });

  it('generates a secret of its own, or uses the one that is there', async () => {
    const { data = {} } = find(await render(onFolder), 'Secret') ?? {};
    assert.match(Buffer.from(data['REGISTRY_HTTP_SECRET'] ?? '', 'base64').toString(), /^\w{64}$/);
    const existing = await render({ ...onFolder, secret: { existing: 'mine' } });
    assert.equal(find(existing, 'Secret'), undefined);
    assert.deepEqual(podOf(existing).containers[0].envFrom, [{ secretRef: { name: 'mine' } }]);
  });

  it('gives the service account the annotations of a cloud role', async () => {
    const { annotations } = find(await render(onBucket), 'ServiceAccount')?.metadata ?? {};
    assert.deepEqual(annotations, onBucket.serviceAccount.annotations);
  });

  it('lets Prometheus find the metrics, whose port has a network policy of its own', async () => {
    const metrics = { enabled: true, podMonitor: true };
    const from = [{ podSelector: { matchLabels: { app: 'prometheus' } } }];
    const manifests = await render({ ...onFolder, metrics, networkPolicy: { metricsFrom: from } });
    assert.deepEqual(find(manifests, 'PodMonitor')?.spec['podMetricsEndpoints'], [{ port: 'metrics' }]);
    assert.deepEqual(find(manifests, 'NetworkPolicy')?.spec['ingress'], [
      { ports: [{ port: 'http' }] },
      { ports: [{ port: 'metrics' }], from },
    ]);
    await refuses({ ...onFolder, metrics: { podMonitor: true } }, /needs metrics\.enabled=true/);
  });

  it('refuses several pods on a volume of one node', async () => {
    const message = /ReadWriteOnce takes one replica; set replicas=1/;
    await refuses({ ...onFolder, replicas: 2 }, message);
    await refuses({ ...onFolder, autoscaling: { enabled: true } }, message);
    await refuses({ ...onFolder, replicas: 2, persistence: { existingClaim: 'images' } }, message);
  });

  it('refuses images that would be lost with the pod, and a volume beside a bucket', async () => {
    await refuses({ ...onFolder, persistence: { enabled: false } }, /images would be lost with the pod/);
    await refuses(
      { ...onBucket, persistence: { enabled: true }, replicas: 1 },
      /set persistence\.enabled=false/,
    );
  });

  it('refuses each secret setting outside of its Secret', async () => {
    const secrets = Object.entries(settingTable)
      .filter(([, setting]) => setting.kind === 'works' && setting.secret === true)
      .map(([path]) => variableOf(path));
    assert.ok(secrets.length > 10);
    for (const name of [...secrets, 'REGISTRY_HEALTH_HTTP_0']) {
      const settings = { REGISTRY_AUTH: 'none', [name]: 'x' };
      await refuses({ settings }, new RegExp(`settings\\.${name} is secret; move it to secret\\.values`));
    }
  });

  it('refuses what has no effect: settings that it sets itself, and values beside a Secret that is there', async () => {
    const settings = (name: string) => ({ settings: { REGISTRY_AUTH: 'none', [name]: 'x' } });
    await refuses(settings('REGISTRY_HTTP_ADDR'), /is set by the chart/);
    await refuses(settings('REGISTRY_HTTP_NET'), /is set by the chart/);
    await refuses({ ...onFolder, secret: { existing: 'mine', values: { A: 'b' } } }, /remove one of them/);
  });

  it('refuses to demand client certificates, which probes do not have', async () => {
    const settings = { REGISTRY_AUTH: 'none', REGISTRY_HTTP_TLS_CLIENTCAS: '[/etc/clients.pem]' };
    await refuses({ settings }, /set settings\.REGISTRY_HTTP_TLS_CLIENTAUTH=verify-client-cert-if-given/);
    await render({ settings: { ...settings, REGISTRY_HTTP_TLS_CLIENTAUTH: 'verify-client-cert-if-given' } });
  });

  it('refuses values that it does not have, and demands REGISTRY_AUTH', async () => {
    await refuses({ ...onFolder, replicaCount: 2 }, /additional properties 'replicaCount' not allowed/);
    await refuses({}, /REGISTRY_AUTH.*must be one of/);
  });
});

describe('the version of the chart', () => {
  it('is the one of the project', async () => {
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    const { version: ofChart, appVersion } = parse(
      await readFile(join(chart, 'Chart.yaml'), 'utf8'),
    ) as Record<string, string>;
    assert.deepEqual([ofChart, appVersion], [version, version]);
  });
});
