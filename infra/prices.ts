/*
 * AWS's list prices, in US dollars without tax: the one place where the project has them. `docs/scale.md`, the table of data
 * planes and the cost at rest that `stowage deploy` prints are computed from these.
 *
 * AWS's price list (https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/…) could not be reached from where this was
 * written. The prices are those of its files of 2026-08-31 to 2026-10-08, as publicly quoted, and of AWS's own pricing
 * pages. Free tiers that end after a year, and discounts for commitments, are left out.
 */

/** The date up to which the price list was followed. */
export const pricesDate = '2026-10-08';

/** A month as AWS's own examples count it. */
export const hoursPerMonth = 730;

/** Regions whose prices are known here. */
export const pricedRegions = ['us-east-1', 'eu-central-1'] as const;

export type PricedRegion = (typeof pricedRegions)[number];

/** Of a month's units, those above the tiers before cost `price` each, up to `upTo` units in all. */
export interface Tier {
  readonly upTo: number;
  readonly price: number;
}

/** GB are 2^30 bytes, as AWS bills them. */
export interface Prices {
  /** arm64: of a GB of memory for a second. */
  readonly lambdaGbSecond: readonly Tier[];
  readonly lambdaRequest: number;
  /** Of a request to an HTTP API; each further 512 KB of a request count as one more. */
  readonly httpApiRequest: readonly Tier[];
  /** S3 Standard, of a GB for a month. */
  readonly s3GbMonth: readonly Tier[];
  /** PUT, COPY, POST, LIST. Deletes are free. */
  readonly s3Put: number;
  /** GET, HEAD and all others. */
  readonly s3Get: number;
  /** Of a GB from the region to the internet. Nothing is paid to the same region's EC2, or to CloudFront. */
  readonly dataOutGb: readonly Tier[];
  readonly secretMonth: number;
  readonly secretRequest: number;
  /** Of a GB that functions log. */
  readonly logGb: readonly Tier[];
  /** Of a GB that other services log, such as access logs of API Gateway: the first tier. */
  readonly otherLogGb: number;
  /** Of a GB of log, compressed, kept for a month. */
  readonly logGbMonth: number;
  /** Standard resolution; the first 10 of an account are free. */
  readonly alarmMonth: number;
  /** The first 3 of an account with 50 metrics each are free. */
  readonly dashboardMonth: number;
  /** Of a custom metric; the first 10 of an account are free. */
  readonly metricMonth: number;
  /** Linux, on demand, for an hour. */
  readonly instanceHour: Readonly<Record<'t4g.nano' | 't4g.micro' | 't4g.small', number>>;
  /** A public IPv4 address for an hour, in use or not. */
  readonly ipv4Hour: number;
  /** gp3, of a GB for a month, with 3,000 IOPS and 125 MB/s. */
  readonly volumeGbMonth: number;
  /** Linux on arm64. */
  readonly fargateCpuHour: number;
  readonly fargateGbHour: number;
  /** An application load balancer. */
  readonly balancerHour: number;
  /** Of the largest of: 25 new connections/s, 3,000 open ones, 1 GB/h, 1,000 rules/s. */
  readonly balancerUnitHour: number;
  /** HTTPS, at edges of the United States or Europe; the first 10 million of an account are free. */
  readonly cloudFrontRequest: readonly Tier[];
  /** Of a GB to viewers in the United States or Europe. */
  readonly cloudFrontGb: readonly Tier[];
  /** Of a run of a CloudFront function; the first 2 million of an account are free. */
  readonly cloudFrontFunction: readonly Tier[];
  /** A standard queue; the first million of an account is free. */
  readonly queueRequest: readonly Tier[];
  /** A hosted zone of Route 53, up to 25 zones. */
  readonly zoneMonth: number;
}

const million = 1e6;
const TB = 1024;

const everywhere = {
  lambdaGbSecond: tiers([7.5e9, 0.0000133334], [18.75e9, 0.0000120001], [Infinity, 0.0000106667]),
  lambdaRequest: 0.2 / million,
  dataOutGb: tiers([100, 0], [10 * TB, 0.09], [50 * TB, 0.085], [150 * TB, 0.07], [Infinity, 0.05]),
  secretMonth: 0.4,
  secretRequest: 0.05 / 10_000,
  alarmMonth: 0.1,
  dashboardMonth: 3,
  metricMonth: 0.3,
  ipv4Hour: 0.005,
  balancerUnitHour: 0.008,
  cloudFrontGb: tiers(
    [TB, 0],
    [10 * TB, 0.085],
    [50 * TB, 0.08],
    [150 * TB, 0.06],
    [500 * TB, 0.04],
    [1024 * TB, 0.03],
    [5 * 1024 * TB, 0.025],
    [Infinity, 0.02],
  ),
  cloudFrontFunction: tiers([2 * million, 0], [Infinity, 0.1 / million]),
  queueRequest: tiers([million, 0], [Infinity, 0.4 / million]),
  zoneMonth: 0.5,
} satisfies Partial<Prices>;

export const prices: Readonly<Record<PricedRegion, Prices>> = {
  'us-east-1': {
    ...everywhere,
    httpApiRequest: tiers([300 * million, 1 / million], [Infinity, 0.9 / million]),
    s3GbMonth: tiers([50 * TB, 0.023], [500 * TB, 0.022], [Infinity, 0.021]),
    s3Put: 0.005 / 1000,
    s3Get: 0.0004 / 1000,
    // https://aws.amazon.com/blogs/compute/aws-lambda-introduces-tiered-pricing-for-amazon-cloudwatch-logs-and-additional-logging-destinations/
    logGb: tiers([10 * TB, 0.5], [30 * TB, 0.25], [50 * TB, 0.1], [Infinity, 0.05]),
    otherLogGb: 0.5,
    logGbMonth: 0.03,
    instanceHour: { 't4g.nano': 0.0042, 't4g.micro': 0.0084, 't4g.small': 0.0168 },
    volumeGbMonth: 0.08,
    fargateCpuHour: 0.03238,
    fargateGbHour: 0.00356,
    balancerHour: 0.0225,
    cloudFrontRequest: tiers([10 * million, 0], [Infinity, 0.01 / 10_000]),
  },
  'eu-central-1': {
    ...everywhere,
    httpApiRequest: tiers([300 * million, 1.2 / million], [Infinity, 1.08 / million]),
    s3GbMonth: tiers([50 * TB, 0.0245], [500 * TB, 0.0235], [Infinity, 0.0225]),
    s3Put: 0.0054 / 1000,
    s3Get: 0.00043 / 1000,
    // Later tiers are cheaper; their prices were not found, so this is the upper bound.
    logGb: tiers([Infinity, 0.63]),
    otherLogGb: 0.63,
    logGbMonth: 0.0324,
    instanceHour: { 't4g.nano': 0.0048, 't4g.micro': 0.0096, 't4g.small': 0.0192 },
    volumeGbMonth: 0.0952,
    fargateCpuHour: 0.03725,
    fargateGbHour: 0.00409,
    balancerHour: 0.027,
    cloudFrontRequest: tiers([10 * million, 0], [Infinity, 0.012 / 10_000]),
  },
};

/** The region whose prices stand in for those of `region`: itself where they are known, else us-east-1. */
export function pricedRegionOf(region: string): PricedRegion {
  return pricedRegions.find((known) => known === region) ?? 'us-east-1';
}

/** What so many units cost in a month. */
export function costOf(units: number, prices: readonly Tier[]): number {
  let cost = 0;
  let from = 0;
  for (const { upTo, price } of prices) {
    cost += Math.max(0, Math.min(units, upTo) - from) * price;
    from = upTo;
  }
  return cost;
}

function tiers(...all: readonly (readonly [upTo: number, price: number])[]): readonly Tier[] {
  return all.map(([upTo, price]) => ({ upTo, price }));
}
