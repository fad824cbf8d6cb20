import { hoursPerMonth, pricedRegionOf, prices, type PricedRegion, type Prices } from './prices.ts';
import { checkSeconds } from './stack/data-plane/settings.ts';
import type { Template, Value } from './stack/template.ts';

/** What costs although nobody uses it. */
export interface CostItem {
  readonly what: string;
  /** Dollars a month; undefined where the price is not known here. */
  readonly dollars: number | undefined;
}

export interface CostAtRest {
  readonly items: readonly CostItem[];
  /** Dollars a month of those items whose price is known. */
  readonly sum: number;
  /** Whose prices these are. */
  readonly region: PricedRegion;
}

/**
 * What a stack costs in a month without requests and without images. The first three dashboards of an account are free, and
 * counted so.
 * @param secrets in Secrets Manager, which are not in the stack
 */
export function costAtRest(
  { Resources }: Pick<Template, 'Resources'>,
  { secrets, region }: { readonly secrets: number; readonly region: string },
): CostAtRest {
  const priced = pricedRegionOf(region);
  const items = itemsOf(Object.values(Resources), secrets, prices[priced]).filter(
    ({ dollars }) => dollars !== 0,
  );
  return { items, sum: items.reduce((sum, { dollars = 0 }) => sum + dollars, 0), region: priced };
}

type Properties = Readonly<Record<string, Value | undefined>>;

function itemsOf(
  resources: readonly Template['Resources'][string][],
  secrets: number,
  p: Prices,
): CostItem[] {
  const of = (type: string): readonly Properties[] =>
    resources.filter(({ Type }) => Type === type).map(({ Properties = {} }) => Properties);
  const alarms = of('AWS::CloudWatch::Alarm').length;
  const addresses = of('AWS::EC2::EIP').length;
  const instances = of('AWS::EC2::Instance');
  const tasks = of('AWS::ECS::TaskDefinition');
  const least = Number(of('AWS::ApplicationAutoScaling::ScalableTarget')[0]?.['MinCapacity'] ?? 1);
  const scaling = of('AWS::ApplicationAutoScaling::ScalingPolicy').map(scalingMetrics);
  return [
    { what: counted(secrets, 'secret'), dollars: secrets * p.secretMonth },
    { what: counted(alarms, 'alarm'), dollars: alarms * p.alarmMonth },
    ...instances.flatMap((instance) => instanceItems(instance, p)),
    {
      what: counted(addresses, 'public IPv4 address', 'es'),
      dollars: addresses * hoursPerMonth * p.ipv4Hour,
    },
    ...taskItems(tasks, least, p),
    scalingItem(
      scaling.reduce((sum, metrics) => sum + metrics, 0),
      p,
    ),
    checksItem(instances.length + tasks.length * least, p),
    ...of('AWS::ElasticLoadBalancingV2::LoadBalancer').map(({ Subnets }) => ({
      what: 'a load balancer with an address in each zone',
      dollars: hoursPerMonth * (p.balancerHour + lengthOf(Subnets) * p.ipv4Hour),
    })),
  ];
}

function instanceItems({ InstanceType, BlockDeviceMappings }: Properties, p: Prices): CostItem[] {
  const type = typeof InstanceType === 'string' ? InstanceType : 'of another kind';
  const hour = (p.instanceHour as Readonly<Record<string, number | undefined>>)[type];
  const gigabytes = listOf(BlockDeviceMappings).map((mapping) => {
    const { Ebs } = mapping as { Ebs?: { VolumeSize?: number } };
    return Ebs?.VolumeSize ?? 0;
  });
  return [
    { what: `an instance ${type}`, dollars: hour && hour * hoursPerMonth },
    ...gigabytes.map((size) => ({ what: `a volume of ${size} GB`, dollars: size * p.volumeGbMonth })),
  ];
}

/** The fewest tasks that there may be, each with a public address. */
function taskItems(tasks: readonly Properties[], least: number, p: Prices): CostItem[] {
  return tasks.map(({ Cpu, Memory }) => {
    const [cores, gigabytes] = [Number(Cpu) / 1024, Number(Memory) / 1024];
    const hour = cores * p.fargateCpuHour + gigabytes * p.fargateGbHour + p.ipv4Hour;
    return {
      what: `${counted(least, 'task')} of Fargate with ${cores} vCPU, ${gigabytes} GB and an address`,
      dollars: least * hour * hoursPerMonth,
    };
  });
}

/** Target tracking makes two alarms for a policy. An alarm costs by the metrics in its expression. */
function scalingItem(metrics: number, p: Prices): CostItem {
  return {
    what: `${counted(2 * metrics, 'metric')} in alarms that scale`,
    dollars: 2 * metrics * p.alarmMonth,
  };
}

function scalingMetrics({ TargetTrackingScalingPolicyConfiguration: configuration }: Properties): number {
  const { CustomizedMetricSpecification: custom } = configuration as {
    CustomizedMetricSpecification?: { Metrics: readonly object[] };
  };
  return custom?.Metrics.filter((metric) => 'MetricStat' in metric).length ?? 1;
}

/** Each server lists the bucket from time to time, whether or not it has requests. */
function checksItem(servers: number, p: Prices): CostItem {
  const checks = (servers * hoursPerMonth * 3600) / checkSeconds;
  return { what: `the checks of the bucket by ${counted(servers, 'server')}`, dollars: checks * p.s3Put };
}

function counted(count: number, what: string, plural = 's'): string {
  return count === 1 ? `1 ${what}` : `${count} ${what}${plural}`;
}

function listOf(value: Value | undefined): readonly Value[] {
  return Array.isArray(value) ? (value as readonly Value[]) : [];
}

function lengthOf(value: Value | undefined): number {
  return listOf(value).length;
}
