import { costOf, hoursPerMonth, type Prices } from '../prices.ts';

/*
 * What docs/scale.md computes: requests, concurrency, data and cost of so many pulls a day. All assumptions are here.
 */

/** Functions that a pull asks, and their memory in MB, as in the stack. */
export const memory = { manifests: 1024, token: 1769, blobs: 512 } as const;

export type PullFunction = keyof typeof memory;

/** A request of a client in a pull. */
export interface Step {
  readonly function: PullFunction;
  /** Requests to the bucket by S3's names, of a function that has cached nothing. A test counts them. */
  readonly bucket: Readonly<Partial<Record<'GetObject' | 'HeadObject', number>>>;
  /** How many of these wait for one another. */
  readonly rounds: number;
  /** Milliseconds of one core beside those for requests to the bucket; measured on an x86 core. */
  readonly coreMs: number;
}

/** Those that ask the bucket. */
export const bucketSteps = {
  'HEAD of the tag': {
    function: 'manifests',
    bucket: { GetObject: 2, HeadObject: 1 },
    rounds: 2,
    coreMs: 1,
  },
  'GET of a manifest': {
    function: 'manifests',
    bucket: { GetObject: 1, HeadObject: 1 },
    rounds: 1,
    coreMs: 1,
  },
  'GET of a blob': { function: 'blobs', bucket: { HeadObject: 2 }, rounds: 1, coreMs: 1 },
} as const satisfies Readonly<Record<string, Step>>;

const withoutToken: Step = { function: 'manifests', bucket: {}, rounds: 0, coreMs: 1 };

/** With a password, of which bcrypt (cost 10) is most: every other login takes less. */
const login: Step = { function: 'token', bucket: {}, rounds: 0, coreMs: 60 };

export const assumptions = {
  /** Of all pulls: the node has the image, and only asks where the tag points. */
  checks: 0.8,
  /** Layers that a node lacks when it lacks the image, and what they and the config weigh. */
  layers: 4,
  megabytes: 60,
  /** The busiest second, compared with the mean of the day. */
  peak: 4,
  /** Milliseconds of a request to S3. AWS: "in the tens of milliseconds" (Best Practices Design Patterns, Timeouts and Retries). */
  bucketMs: 50,
  /** Milliseconds of one core for a request to the bucket, measured on an x86 core. */
  bucketCoreMs: 2,
  /** Bytes that a request logs: the registry's line, Lambda's three lines, and 26 for each (CloudWatch). */
  functionLog: 345 + 350 + 4 * 26,
  /** The same of the gateway. */
  gatewayLog: 400 + 26,
  /** How busy a server's core may be in the busiest second. */
  load: 0.6,
} as const;

/** Memory in MB with which a function has a whole core (AWS Lambda, "Configure Lambda function memory"). */
const memoryOfCore = 1769;

/** All requests of a pull as containerd makes it: of an image that is there, or of one of several platforms that is not. */
export function stepsOf(kind: 'check' | 'full'): readonly Step[] {
  const manifest = bucketSteps['GET of a manifest'];
  const blobs = Array.from({ length: 1 + assumptions.layers }, () => bucketSteps['GET of a blob']);
  const check = [withoutToken, login, bucketSteps['HEAD of the tag']];
  return kind === 'check' ? check : [...check, manifest, manifest, ...blobs];
}

/** What pulls need. Sums and multiples are of the same form. */
export interface Need {
  /** To the gateway. */
  readonly requests: number;
  /** To the bucket, by functions. */
  readonly bucketRequests: number;
  /** From the bucket, by clients with signed URLs. */
  readonly downloads: number;
  readonly gigabytes: number;
  /** Of the functions. */
  readonly manifestsMs: number;
  readonly tokenMs: number;
  readonly blobsMs: number;
  /** Of one core of a server, which remembers passwords. */
  readonly serverMs: number;
}

/** What one pull needs; `mean` is of the assumed mix. */
export function needOf(kind: 'check' | 'full' | 'mean'): Need {
  const { checks, layers, megabytes } = assumptions;
  if (kind === 'mean') return add(times(needOf('check'), checks), times(needOf('full'), 1 - checks));
  const steps = stepsOf(kind);
  return {
    requests: steps.length,
    bucketRequests: sum(steps.map(bucketRequestsOf)),
    downloads: kind === 'full' ? 1 + layers : 0,
    gigabytes: kind === 'full' ? megabytes / 1024 : 0,
    manifestsMs: timeIn('manifests', steps),
    tokenMs: timeIn('token', steps),
    blobsMs: timeIn('blobs', steps),
    serverMs: sum(steps.map((step) => (step === login ? 1 : coreMsOf(step)))),
  };
}

/** Of the mean second of a day, and of the busiest. */
export function needPerSecond(pullsPerDay: number): { readonly mean: Need; readonly peak: Need } {
  const mean = times(needOf('mean'), pullsPerDay / 86_400);
  return { mean, peak: times(mean, assumptions.peak) };
}

export function needPerMonth(pullsPerDay: number): Need {
  return times(needOf('mean'), (pullsPerDay * hoursPerMonth) / 24);
}

/** Instances busy at once: rate times duration (Little's law). */
export function concurrencyOf({ manifestsMs, tokenMs, blobsMs }: Need): Record<PullFunction, number> {
  return { manifests: manifestsMs / 1000, token: tokenMs / 1000, blobs: blobsMs / 1000 };
}

/** Dollars a month. */
export interface Cost {
  readonly gateway: number;
  readonly lambda: number;
  readonly bucket: number;
  readonly logs: number;
  /** If all that is pulled leaves AWS. */
  readonly internet: number;
  /** Servers in place of gateway and functions. */
  readonly servers: number;
}

export function costOfPulls(pullsPerDay: number, prices: Prices): Cost {
  const need = needPerMonth(pullsPerDay);
  const gigabytes = (bytes: number) => (need.requests * bytes) / 2 ** 30;
  const gigabyteSeconds = Object.entries(concurrencyOf(need)).map(
    ([name, seconds]) => (seconds * memory[name as PullFunction]) / 1024,
  );
  return {
    gateway: costOf(need.requests, prices.httpApiRequest),
    lambda: need.requests * prices.lambdaRequest + costOf(sum(gigabyteSeconds), prices.lambdaGbSecond),
    bucket: (need.bucketRequests + need.downloads) * prices.s3Get,
    logs:
      costOf(gigabytes(assumptions.functionLog), prices.logGb) +
      gigabytes(assumptions.gatewayLog) * prices.otherLogGb,
    internet: costOf(need.gigabytes, prices.dataOutGb),
    servers: serverCost(pullsPerDay, prices),
  };
}

/** Tasks of one core, two at least. */
export function tasksFor(pullsPerDay: number): number {
  return Math.max(2, Math.ceil(needPerSecond(pullsPerDay).peak.serverMs / 1000 / assumptions.load));
}

/** Fargate tasks of 1 vCPU and 2 GB behind a load balancer, where two new connections for each pull count most. */
function serverCost(pullsPerDay: number, prices: Prices): number {
  const task = prices.fargateCpuHour + 2 * prices.fargateGbHour + prices.ipv4Hour;
  const units = (2 * pullsPerDay) / 86_400 / 25;
  const balancer = prices.balancerHour + 2 * prices.ipv4Hour + units * prices.balancerUnitHour;
  return hoursPerMonth * (tasksFor(pullsPerDay) * task + balancer);
}

/** Milliseconds of a function. */
function timeIn(name: PullFunction, steps: readonly Step[]): number {
  const core = Math.min(1, memory[name] / memoryOfCore);
  const own = steps.filter((step) => step.function === name);
  return sum(own.map((step) => coreMsOf(step) / core + step.rounds * assumptions.bucketMs));
}

function coreMsOf(step: Step): number {
  return step.coreMs + bucketRequestsOf(step) * assumptions.bucketCoreMs;
}

function bucketRequestsOf({ bucket }: Step): number {
  return sum(Object.values(bucket));
}

function times(need: Need, factor: number): Need {
  return mapNeed(need, (value) => value * factor);
}

function add(one: Need, other: Need): Need {
  return mapNeed(one, (value, name) => value + other[name]);
}

function mapNeed(need: Need, change: (value: number, name: keyof Need) => number): Need {
  const names = Object.keys(need) as (keyof Need)[];
  return Object.fromEntries(names.map((name) => [name, change(need[name], name)])) as unknown as Need;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
