import { dirname } from 'node:path';
import { isMounted } from './mounted.ts';
import { parseMysqlDsn, type MysqlConfig } from '../search/mysql/dsn.ts';
import type { Settings } from './settings.ts';

/** The source of the list of repositories. */
export type SearchConfig =
  | { readonly kind: 'bucket' }
  | { readonly kind: 'mysql'; readonly mysql: MysqlConfig }
  | { readonly kind: 'local'; readonly path: string };

const dsnSetting = 'SEARCH_BACKEND_MYSQL';
const pathSetting = 'SEARCH_BACKEND_LOCAL';

/** As in the original registry. */
const defaultPath = '/opt/registry/repositories';

/** @param ephemeral whether the local disk is lost with the process */
export function readSearch(settings: Settings, ephemeral: boolean): SearchConfig {
  const backend = settings.optionalChoice('SEARCH_BACKEND', ['MYSQL', 'LOCAL']);
  const dsn = settings.text(dsnSetting);
  const path = settings.text(pathSetting);
  const isMistyped = backend === undefined && settings.text('SEARCH_BACKEND') !== undefined;
  for (const [setting, value, kind] of [
    [dsnSetting, dsn, 'MYSQL'],
    [pathSetting, path, 'LOCAL'],
  ] as const)
    if (value !== undefined && backend !== kind && !isMistyped)
      settings.fault(`${setting}: has no effect without SEARCH_BACKEND=${kind}; set that, or remove it`);
  if (backend === 'MYSQL') return readMysql(settings, dsn);
  return backend === 'LOCAL' ? readLocal(settings, path, ephemeral) : { kind: 'bucket' };
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

function readLocal(settings: Settings, path: string | undefined, ephemeral: boolean): SearchConfig {
  if (ephemeral && !isMounted(path && dirname(path)))
    settings.fault(
      `${pathSetting}: Lambda's disk is lost with each instance; name a file on a mounted file system, below /mnt, set SEARCH_BACKEND=MYSQL, or remove SEARCH_BACKEND`,
    );
  return { kind: 'local', path: path ?? defaultPath };
}
