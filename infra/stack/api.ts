import { describeFunctions, logicalName, type HttpFunctionName } from '../gateway.ts';
import { aliasRecord } from './alias-record.ts';
import type { Parameters } from './parameters.ts';
import { responseParameters } from './response-parameters.ts';
import { attribute, ref, sub, type Resource, type Template } from './template.ts';

/** The gateway's own address, without a slash at its end. */
export const apiUrl = sub('https://${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}');

/** What osls does not make of the gateway. The routes are events of the functions. */
export function api(parameters: Parameters): Template {
  const { host, hostedZone, address } = parameters;
  const isNamed = address === 'gateway' && host !== undefined;
  return {
    Resources: {
      ...(isNamed && domain(host, parameters.certificate ?? '')),
      ...(isNamed && hostedZone !== undefined && { HostRecord: record(host, hostedZone) }),
    },
    Outputs: {
      ApiUrl: { Description: 'The address of the gateway', Value: apiUrl },
      RegistryUrl: {
        Description: 'The address of the registry',
        Value: host === undefined ? apiUrl : `https://${host}`,
      },
      ...(isNamed &&
        hostedZone === undefined && {
          // As with a data plane: the deployment prints it.
          DnsRecord: {
            Description: `The name that ${host} must lead to, by a CNAME record`,
            Value: attribute('Domain', 'RegionalDomainName'),
          },
        }),
    },
  };
}

/** For `extensions` of serverless.yml. */
export function apiExtensions({ throttleRate, throttleBurst }: Parameters) {
  return {
    ...Object.fromEntries(
      Object.keys(describeFunctions()).map((name) => [
        `HttpApiIntegration${logicalName(name as HttpFunctionName)}`,
        { Properties: { ResponseParameters: responseParameters } },
      ]),
    ),
    HttpApiStage: {
      Properties: {
        DefaultRouteSettings: {
          // Metrics by route are billed.
          DetailedMetricsEnabled: false,
          ThrottlingRateLimit: throttleRate,
          ThrottlingBurstLimit: throttleBurst,
        },
      },
    },
  };
}

function domain(host: string, certificate: string): Record<string, Resource> {
  return {
    Domain: {
      Type: 'AWS::ApiGatewayV2::DomainName',
      Properties: {
        DomainName: host,
        DomainNameConfigurations: [
          { CertificateArn: certificate, EndpointType: 'REGIONAL', SecurityPolicy: 'TLS_1_2' },
        ],
      },
    },
    DomainMapping: {
      Type: 'AWS::ApiGatewayV2::ApiMapping',
      Properties: { ApiId: ref('HttpApi'), DomainName: ref('Domain'), Stage: ref('HttpApiStage') },
    },
  };
}

function record(host: string, hostedZone: string): Resource {
  const target = attribute('Domain', 'RegionalDomainName');
  return aliasRecord({ host, hostedZone, type: 'A' }, target, attribute('Domain', 'RegionalHostedZoneId'));
}
