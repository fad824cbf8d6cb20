import type { Parameters } from './parameters.ts';
import { sub, type Template } from './template.ts';

/** The gateway's own address, without a slash at its end. */
export const apiUrl = sub('https://${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}');

/** What osls does not make of the gateway. The routes are events of the functions. */
export function api({ host }: Parameters): Template {
  return {
    Resources: {},
    Outputs: {
      ApiUrl: { Description: 'The address of the gateway', Value: apiUrl },
      RegistryUrl: {
        Description: 'The address of the registry',
        Value: host === undefined ? apiUrl : `https://${host}`,
      },
    },
  };
}
