import type { Settings } from './settings.ts';

const name = 'REGISTRY_METRICS_CLOUDWATCH_NAMESPACE';

/** The namespace of the metrics that functions write for CloudWatch; undefined for none. Other programs have none. */
export function readCloudWatch(settings: Settings, isFunction: boolean): string | undefined {
  const namespace = settings.text(name);
  // CloudWatch User Guide, "Namespaces". Those of AWS's own begin with AWS/.
  if (namespace !== undefined && !/^(?!AWS\/)[\w.\-/#:]{1,255}$/.test(namespace))
    settings.fault(`${name}: must have 1 to 255 letters, digits and . - _ / # :, and not begin with AWS/`);
  return isFunction ? namespace : undefined;
}
