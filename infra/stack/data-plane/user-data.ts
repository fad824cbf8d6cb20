import { apiUrl } from '../api.ts';
import type { Parameters } from '../parameters.ts';
import { ref, type Value } from '../template.ts';
import { caddyfile } from './caddyfile.ts';
import { dataPlaneSettings, ecrOf } from './settings.ts';
import { startScript, userData } from './start-script.ts';
import { unit, unitSettings } from './unit.ts';

/** @param signal the logical id of the handle that takes the signal */
export function instanceUserData(parameters: Parameters, signal: string): Value {
  const { host = '', image = '' } = parameters;
  const values = new Values();
  const settings = Object.entries({ ...dataPlaneSettings(parameters), ...unitSettings });
  const script = startScript({
    caddyfile: caddyfile({
      address: host,
      api: values.mark(apiUrl),
      dataPlane: unitSettings.REGISTRY_HTTP_ADDR,
    }),
    unit: unit(image),
    settings: settings.map(([name, value]) => `${name}=${values.mark(value)}\n`).join(''),
    ecr: ecrOf(image)?.host,
    signalUrl: values.mark(ref(signal)),
  });
  return { 'Fn::Base64': values.fill(userData(script)) };
}

/** Values that only CloudFormation knows, within a text. Not `Fn::Sub`, for which variables of a shell are its own. */
class Values {
  readonly #values: Value[] = [];

  /** What stands for a value until {@link fill}. A text stands for itself. */
  mark(value: Value): string {
    if (typeof value !== 'object') return String(value);
    this.#values.push(value);
    return `{{value ${this.#values.length - 1}}}`;
  }

  fill(text: string): Value {
    const pieces = text.split(/\{\{value (\d+)\}\}/);
    return {
      'Fn::Join': [
        '',
        pieces.map((piece, index) => (index % 2 === 0 ? piece : (this.#values[Number(piece)] ?? ''))),
      ],
    };
  }
}
