/*
 * `npm run bench:functions [-- --rounds 9 --json]`: what a cold start of each function costs, and a warm request. Each function runs
 * from its package in a process of its own, as Lambda runs it: it loads the module, answers an event, and in the first round 1,000
 * more. The bucket (versitygw) and Secrets Manager (a double) are reached by TLS, as on AWS. Medians of milliseconds of the
 * processor, but for the column that says otherwise. The password of `token` has the least cost that bcrypt knows.
 */
import { parseArgs } from 'node:util';
import { runBuild } from '../infra/run-node.ts';
import { deployForBenchmark, type Deployment } from './functions/deployment.ts';
import { measure, type Costs } from './functions/measure.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    requests: { type: 'string', default: '1000' },
    only: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
  },
});

const build = await runBuild();
if (build.code !== 0) throw new Error(build.output);
const deployment = await deployForBenchmark();
try {
  const rows = await measureAll(deployment);
  if (values.json) console.log(JSON.stringify(rows, null, 2));
  else print(rows);
} finally {
  await deployment.stop();
}

type Rows = Readonly<Record<string, Costs>>;

/** All functions in each round, so that a busy moment of the machine meets each of them. @returns medians */
async function measureAll(deployment: Deployment): Promise<Rows> {
  const functions = deployment.functions.filter(
    ({ name }) => values.only === '' || values.only.split(',').includes(name),
  );
  const all = new Map<string, Costs[]>(functions.map(({ name }) => [name, []]));
  for (let round = 0; round < Number(values.rounds); round++)
    for (const one of functions) {
      const requests = round === 0 ? Number(values.requests) : 0;
      all.get(one.name)?.push(await measure(one, requests));
    }
  return Object.fromEntries([...all].map(([name, costs]) => [name, medians(costs)]));
}

function medians(costs: readonly Costs[]): Costs {
  const of = (name: keyof Costs) => median(costs.flatMap((one) => one[name] ?? []));
  return {
    node: of('node'),
    loaded: of('loaded'),
    answered: of('answered'),
    elapsed: of('elapsed'),
    warm: of('warm'),
    memory: of('memory'),
  };
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
}

function print(rows: Rows): void {
  console.log(
    '| function | Node itself | + module | + first answer | in all | by the clock | warm request | MB |',
  );
  console.log('| --- | --- | --- | --- | --- | --- | --- | --- |');
  for (const [name, { node, loaded, answered, elapsed, warm = NaN, memory }] of Object.entries(rows)) {
    const whole = [node, loaded - node, answered - loaded, answered, elapsed].map((ms) => ms.toFixed(0));
    console.log(`| \`${name}\` | ${[...whole, warm.toFixed(2), memory.toFixed(0)].join(' | ')} |`);
  }
}
