import { apiUrl } from '../api.ts';
import { ParameterError } from '../parameter-reader.ts';
import type { Parameters } from '../parameters.ts';
import { ref, type Value } from '../template.ts';
import { caddyfile } from './caddyfile.ts';
import { joined, type Pieces } from './pieces.ts';
import { dataPlaneSettings, ecrOf } from './settings.ts';
import { startScript, userData } from './start-script.ts';
import { unit, unitSettings } from './unit.ts';

/** @param signal the logical id of the handle that takes the signal @throws ParameterError */
export function instanceUserData(parameters: Parameters, signal: string): Value {
  const { host = '', image = '' } = parameters;
  const script = startScript({
    caddyfile: caddyPieces(host),
    unit: unit(image),
    settings: settingLines(parameters),
    ecr: ecrOf(image)?.host,
    signalUrl: ref(signal),
  });
  return { 'Fn::Base64': joined(userData(script)) };
}

function caddyPieces(host: string): Pieces {
  // No host name has it.
  const mark = '<api>';
  const texts = caddyfile({ address: host, api: mark, dataPlane: unitSettings.REGISTRY_HTTP_ADDR }).split(
    mark,
  );
  return texts.flatMap((text, index) => (index === 0 ? [text] : [apiUrl, text]));
}

/** Podman's files of settings have a line for each, in which all characters stand for themselves. */
function settingLines(parameters: Parameters): Pieces {
  const settings = Object.entries({ ...dataPlaneSettings(parameters), ...unitSettings });
  const broken = settings.filter(([, value]) => typeof value === 'string' && /[\r\n\0]/.test(value));
  if (broken.length > 0)
    throw new ParameterError(
      parameters.stage,
      broken.map(([name]) => `settings: ${name} has several lines, which an instance cannot take; use one`),
    );
  return settings.flatMap(([name, value]) =>
    typeof value === 'object' ? [`${name}=`, value, '\n'] : [`${name}=${value}\n`],
  );
}
