import type { Platform } from '../protocol/manifest-fields.ts';
import type { RequiredPlatforms } from '../registry/manifests/required-platforms.ts';
import type { Settings } from './settings.ts';

const setting = 'REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMS';
const listSetting = 'REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMLIST';

/** Named as in distribution 3, whose list is YAML; here it is `os/architecture,…`. */
export function readPlatforms(settings: Settings): RequiredPlatforms {
  const list = settings.text(listSetting);
  const kind = settings.optionalChoice(setting, ['all', 'none', 'list']);
  if (kind === undefined && settings.text(setting) !== undefined) return 'all';
  if (kind !== 'list') {
    if (list !== undefined)
      settings.fault(`${listSetting}: has no effect without ${setting}=list; set that, or remove it`);
    return kind ?? 'all';
  }
  if (list === undefined)
    settings.fault(`${listSetting}: missing; ${setting}=list needs it, such as linux/amd64,linux/arm64`);
  const platforms = (list ?? '').split(',').map(parsePlatform);
  if (list !== undefined && platforms.includes(undefined))
    settings.fault(
      `${listSetting}: not a list of operating systems and architectures, such as linux/amd64,linux/arm64`,
    );
  return platforms.filter((platform) => platform !== undefined);
}

/** @param text `os/architecture` @returns undefined for anything else */
export function parsePlatform(text: string): Platform | undefined {
  const [, os, architecture] = /^([a-z0-9]+)\/([a-z0-9]+)$/.exec(text.trim()) ?? [];
  return os === undefined || architecture === undefined ? undefined : { os, architecture };
}
