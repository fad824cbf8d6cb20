/* Writes the table of costs into docs/deploy/data-plane.md: npm run docs */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { costAtRest, type CostItem } from '../cost-at-rest.ts';
import { pricedRegions, prices, pricesDate, type PricedRegion, type Prices } from '../prices.ts';
import { readParameters } from '../stack/parameters.ts';
import { templateOf } from '../stack/stack.ts';

export const dataPlanePage = join(import.meta.dirname, '../../docs/deploy/data-plane.md');

const begin = '<!-- costs: written by npm run docs -->';
const end = '<!-- end of costs -->';

const host = 'registry.example.com';
const image = 'ghcr.io/team/stowage:1';
const certificateIn = (region: string) => `arn:aws:acm:${region}:123456789012:certificate/0`;

const kinds: readonly {
  readonly name: string;
  readonly overrides: (region: string) => Readonly<Record<string, string>>;
}[] = [
  { name: '`none`', overrides: () => ({}) },
  ...['t4g.nano', 't4g.micro', 't4g.small'].map((instanceType) => ({
    name: `\`instance\`, ${instanceType}`,
    overrides: () => ({ dataPlane: 'instance', host, image, instanceType }),
  })),
  {
    name: '`fargate`, one task',
    overrides: (region) => ({
      dataPlane: 'fargate',
      host,
      image,
      certificate: certificateIn('us-east-1'),
      loadBalancerCertificate: certificateIn(region),
    }),
  },
];

/** Replaces the tables in the page. */
export function withCosts(page: string): string {
  const [before = '', rest = ''] = page.split(begin);
  const [, after = ''] = rest.split(end);
  const tables = [`Dollars by AWS's price list up to ${pricesDate}, without tax:`, costTable(), useTable()];
  return [`${before}${begin}`, ...tables, `${end}${after}`].join('\n\n');
}

/** What each kind costs at rest beside the functions, and of what that is made. */
function costTable(): string {
  const rows = kinds.map(({ name, overrides }) => {
    const costs = pricedRegions.map((region) => ownItems(overrides(region), region));
    const sums = costs.map((items) => dollars(items.reduce((sum, { dollars = 0 }) => sum + dollars, 0)));
    const parts = costs[0]?.map(({ what, dollars: one = 0 }) => `${what} ${dollars(one)}`).join(', ') ?? '';
    return [name, ...sums, parts === '' ? 'nothing' : parts];
  });
  return table(['a month', ...pricedRegions, `of which, in ${pricedRegions[0]}`], rows);
}

/** The items of what the stack without a data plane does not have. */
function ownItems(overrides: Readonly<Record<string, string>>, region: PricedRegion): readonly CostItem[] {
  const of = (given: Readonly<Record<string, string>>) =>
    templateOf(readParameters({ stage: 'prod', region, overrides: given })).Resources;
  const without = of({});
  const own = Object.entries(of(overrides)).filter(([id]) => !(id in without));
  return costAtRest({ Resources: Object.fromEntries(own) }, { secrets: 0, region }).items;
}

const uses: readonly { readonly what: string; readonly price: (p: Prices) => string }[] = [
  { what: 'an upload of any size, at an instance', price: () => 'nothing: data in is free' },
  {
    what: 'an hour with one more task of Fargate',
    price: (p) => small(p.fargateCpuHour / 4 + p.fargateGbHour / 2 + p.ipv4Hour),
  },
  { what: 'an hour in which the load balancer passes 1 GB', price: (p) => small(p.balancerUnitHour) },
  {
    what: 'a million requests to CloudFront, above 10 million a month',
    price: (p) => small((p.cloudFrontRequest.at(-1)?.price ?? 0) * 1e6),
  },
  {
    what: 'a GB of answers by CloudFront, above 1 TB a month (layers come from the bucket)',
    price: (p) => small(p.cloudFrontGb[1]?.price ?? 0),
  },
];

function useTable(): string {
  const rows = uses.map(({ what, price }) => [what, ...pricedRegions.map((region) => price(prices[region]))]);
  return table(['by use', ...pricedRegions], rows);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function dollars(amount: number): string {
  return `$${amount.toFixed(2)}`;
}

function small(amount: number): string {
  return `$${Number(amount.toPrecision(2))}`;
}

if (process.argv[1] === import.meta.filename)
  writeFileSync(dataPlanePage, withCosts(readFileSync(dataPlanePage, 'utf8')));
