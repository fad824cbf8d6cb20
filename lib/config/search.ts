import { dirname } from 'node:path';
import { isMounted } from '../lambda/disk.ts';
import { parseMysqlDsn, type MysqlConfig } from '../search/mysql/dsn.ts';
import type { Settings } from './settings.ts';

/** Where the list of repositories comes from. */
export type SearchConfig =
  | { readonly kind: 'bucket' }
  | { readonly kind: 'mysql'; readonly mysql: MysqlConfig }
  | { readonly kind: 'local'; readonly path: string };

const dsnSetting = 'SEARCH_BACKEND_MYSQL';
const pathSetting = 'SEARCH_BACKEND_LOCAL';

/** Where the registry before this one had it. */
const usualPath = '/opt/registry/repositories';

/** @param fleeting whether the machine's own disk is lost with the process */
export function readSearch(settings: Settings, fleeting: boolean): SearchConfig {
  const backend = settings.optionalChoice('SEARCH_BACKEND', ['MYSQL', 'LOCAL']);
  const dsn = settings.text(dsnSetting);
  const path = settings.text(pathSetting);
  const misnamed = backend === undefined && settings.text('SEARCH_BACKEND') !== undefined;
  for (const [setting, value, its] of [
    [dsnSetting, dsn, 'MYSQL'],
    [pathSetting, path, 'LOCAL'],
  ] as const)
    if (value !== undefined && backend !== its && !misnamed)
      settings.fault(`${setting}: means nothing without SEARCH_BACKEND=${its}; set that, or remove it`);
  if (backend === 'MYSQL') return readMysql(settings, dsn);
  return backend === 'LOCAL' ? readLocal(settings, path, fleeting) : { kind: 'bucket' };
}

function readMysql(settings: Settings, dsn: string | undefined): SearchConfig {
  if (dsn === undefined) {
    settings.fault(
      `${dsnSetting}: missing; SEARCH_BACKEND=MYSQL needs it, such as user:password@tcp(127.0.0.1:3306)/registry`,
    );
    return { kind: 'bucket' };
  }
  const { config, faults } = parseMysqlDsn(dsn);
  for (const fault of faults) settings.fault(`${dsnSetting}: ${fault}`);
  return config === undefined ? { kind: 'bucket' } : { kind: 'mysql', mysql: config };
}

function readLocal(settings: Settings, path: string | undefined, fleeting: boolean): SearchConfig {
  if (fleeting && !isMounted(path && dirname(path)))
    settings.fault(
      `${pathSetting}: Lambda's own disk is lost with each instance; name a file on a mounted file system, which are below /mnt, or use SEARCH_BACKEND=MYSQL or none`,
    );
  return { kind: 'local', path: path ?? usualPath };
}
