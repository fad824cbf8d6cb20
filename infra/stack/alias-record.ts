import type { Resource, Value } from './template.ts';

/** A record of Route 53 that leads a host name to a resource of AWS. */
export interface AliasRecord {
  readonly host: string;
  /** Id of the zone that has the host name. */
  readonly hostedZone: string;
  readonly type: 'A' | 'AAAA';
}

/** @param target the resource's own name @param zone that this name is in */
export function aliasRecord({ host, hostedZone, type }: AliasRecord, target: Value, zone: Value): Resource {
  return {
    Type: 'AWS::Route53::RecordSet',
    Properties: {
      HostedZoneId: hostedZone,
      Name: host,
      Type: type,
      AliasTarget: { DNSName: target, HostedZoneId: zone },
    },
  };
}
