/* Writes the tables of docs/scale.md: npm run docs */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pricedRegions, prices, pricesDate } from '../prices.ts';
import { readParameters } from '../stack/parameters.ts';
import {
  assumptions,
  concurrencyOf,
  costOfPulls,
  needOf,
  needPerMonth,
  needPerSecond,
  tasksFor,
  type Cost,
  type Need,
} from './scale-model.ts';

export const scalePage = join(import.meta.dirname, '../../docs/scale.md');

const volumes = [1_000, 1_000_000, 100_000_000];

const tables: Readonly<Record<string, () => readonly Row[]>> = {
  'one pull': onePull,
  volumes: volumeTable,
  costs: costTable,
  limits: limitTable,
};

type Row = readonly (string | number)[];

/** The page with its tables computed anew. Each follows a comment `<!-- table: NAME, by npm run docs -->`. */
export function withTables(page: string): string {
  let result = page;
  for (const [name, rows] of Object.entries(tables)) {
    const mark = `<!-- table: ${name}, by npm run docs -->\n\n`;
    const start = result.indexOf(mark) + mark.length;
    if (start < mark.length) throw new Error(`${scalePage} has no table ${name}`);
    result = `${result.slice(0, start)}${markdown(rows())}${result.slice(result.indexOf('\n\n', start))}`;
  }
  return result;
}

function markdown([head = [], ...rows]: readonly Row[]): string {
  const line = (row: Row) => `| ${row.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}

function onePull(): readonly Row[] {
  const kinds = ['check', 'full', 'mean'] as const;
  const row = (what: string, of: (need: Need) => string | number): Row => [
    what,
    ...kinds.map((kind) => of(needOf(kind))),
  ];
  return [
    [
      '',
      'the image is there',
      'the image is not there',
      `mean of ${percent(assumptions.checks)} and ${percent(1 - assumptions.checks)}`,
    ],
    row('requests to the gateway', ({ requests }) => rounded(requests)),
    row('requests of functions to the bucket', ({ bucketRequests }) => rounded(bucketRequests)),
    row('downloads from the bucket', ({ downloads }) => rounded(downloads)),
    row('MB', ({ gigabytes }) => rounded(gigabytes * 1024)),
    row('ms of `manifests`', ({ manifestsMs }) => rounded(manifestsMs)),
    row('ms of `token`', ({ tokenMs }) => rounded(tokenMs)),
    row('ms of `blobs`', ({ blobsMs }) => rounded(blobsMs)),
  ];
}

function volumeTable(): readonly Row[] {
  const row = (what: string, of: (pulls: number) => number): Row => [
    what,
    ...volumes.map((pulls) => rounded(of(pulls))),
  ];
  const peak = (pulls: number) => needPerSecond(pulls).peak;
  return [
    ['pulls a day', ...volumes.map(grouped)],
    row('pulls a second, mean', (pulls) => pulls / 86_400),
    row('gateway, requests a second at the peak', (pulls) => peak(pulls).requests),
    row(
      'bucket, requests a second at the peak',
      (pulls) => peak(pulls).bucketRequests + peak(pulls).downloads,
    ),
    row('instances of `manifests` at the peak', (pulls) => concurrencyOf(peak(pulls)).manifests),
    row('instances of `token` at the peak', (pulls) => concurrencyOf(peak(pulls)).token),
    row('instances of `blobs` at the peak', (pulls) => concurrencyOf(peak(pulls)).blobs),
    row('million requests to the gateway a month', (pulls) => needPerMonth(pulls).requests / 1e6),
    row('TB pulled a month', (pulls) => needPerMonth(pulls).gigabytes / 1024),
  ];
}

function costTable(): readonly Row[] {
  const costs = volumes.map((pulls) => pricedRegions.map((region) => costOfPulls(pulls, prices[region])));
  const row = (what: string, of: (cost: Cost) => number): Row => [
    what,
    ...costs.map((regions) => regions.map((cost) => dollars(of(cost))).join(' / ')),
  ];
  const sum = ({ gateway, lambda, bucket, logs }: Cost) => gateway + lambda + bucket + logs;
  return [
    [`dollars a month, ${pricedRegions.join(' / ')}, ${pricesDate}`, ...volumes.map(grouped)],
    row('HTTP API', ({ gateway }) => gateway),
    row('Lambda', ({ lambda }) => lambda),
    row('S3 requests', ({ bucket }) => bucket),
    row('CloudWatch Logs', ({ logs }) => logs),
    row('**sum**', sum),
    row('data, to EC2 in the region', () => 0),
    row('data, if all of it goes to the internet', ({ internet }) => internet),
    row('servers in place of API and Lambda', ({ servers }) => servers),
    ['… of so many tasks', ...volumes.map((pulls) => grouped(tasksFor(pulls)))],
  ];
}

/** Of one pull a day, at the peak; a limit divided by it is the number of pulls a day that reach it. */
const one = needPerSecond(1).peak;

function limitTable(): readonly Row[] {
  const row = (what: string, limit: number, need: number): Row => [
    what,
    grouped(limit),
    rounded(limit / need / 1e6),
  ];
  const { throttleRate } = readParameters({ stage: 'prod', region: 'us-east-1' });
  const instances = Object.values(concurrencyOf(one)).reduce((total, each) => total + each, 0);
  return [
    ['limit', 'value', 'reached at million pulls a day'],
    row('`throttleRate` of the stack, requests a second', throttleRate, one.requests),
    row(
      'S3 GET and HEAD a second, while the bucket is one partition',
      5_500,
      one.bucketRequests + one.downloads,
    ),
    row('API Gateway, requests a second of an account in a region', 10_000, one.requests),
    row('Lambda, requests a second: ten for each instance of the quota', 10_000, one.requests),
    row('Lambda, instances at once of an account in a region', 1_000, instances),
  ];
}

function percent(share: number): string {
  return `${Math.round(share * 100)}%`;
}

function grouped(value: number): string {
  return value.toLocaleString('en-US');
}

/** With two significant digits below 100, and none after the point above. */
function rounded(value: number): string {
  if (value >= 100) return grouped(Number(value.toPrecision(3)));
  return String(Number(value.toPrecision(2)));
}

function dollars(value: number): string {
  return value < 100 ? value.toFixed(value < 10 ? 2 : 0) : grouped(Number(value.toPrecision(3)));
}

if (process.argv[1] === import.meta.filename)
  writeFileSync(scalePage, withTables(readFileSync(scalePage, 'utf8')));
