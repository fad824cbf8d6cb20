import { isSet, normalize, valueOf, type Environment } from '../variables.ts';

const purging = 'REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING';

/** Settings that have other defaults than in distribution, by how the documentation names them. */
const differing: readonly string[] = [
  'log.formatter',
  'http.draintimeout',
  'http.workers',
  'health.storagedriver.enabled',
  // Refused if it is set, so it is always here.
  'validation.manifests.urls',
];

/**
 * The defaults in use that a user of distribution does not expect, the most important one first, in one line. The
 * documentation says what each is.
 */
export function differences(environment: Environment): string {
  const given = normalize(environment);
  const has = (path: string) => isSet(given[`REGISTRY_${path.replaceAll('.', '_').toUpperCase()}`]);
  const important = [
    ...(has('storage.delete.enabled') ? [] : ['deletes are allowed (storage.delete.enabled)']),
    ...(isPurgingOff(given) ? [] : ['abandoned uploads stay until stowage purge-uploads runs']),
    ...(has('http.debug.addr') && !has('http.debug.prometheus.enabled')
      ? ['metrics are at http.debug.addr (http.debug.prometheus.enabled)']
      : []),
  ];
  const others = [...differing, ...(has('http.tls.certificate') ? ['http.http2.disabled'] : [])];
  const rest = `${important.length > 0 ? 'also ' : ''}those of ${others.filter((path) => !has(path)).join(', ')}`;
  return (
    `Defaults that differ from those of distribution: ${[...important, rest].join('; ')}. ` +
    'docs/configuration-file.md describes them.'
  );
}

function isPurgingOff(given: Environment): boolean {
  const section = valueOf(given[purging] ?? '');
  const isOff =
    typeof section === 'object' && section !== null && String(Reflect.get(section, 'enabled')) === 'false';
  return isOff || given[`${purging}_ENABLED`] === 'false';
}
