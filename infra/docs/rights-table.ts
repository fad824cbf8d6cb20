/* Writes the table of rights into docs/deploy/rights.md: npm run docs */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { functionNames, isHttpFunction } from '../gateway.ts';
import { readParameters, type Parameters } from '../stack/parameters.ts';
import { rights, type On, type Right } from '../stack/rights.ts';

export const rightsPage = join(import.meta.dirname, '../../docs/deploy/rights.md');

const heading = '| on | actions | who | when |\n| --- | --- | --- | --- |\n';

/** Parameters that take rights away from those of the default, and what a right needs then. */
const narrower: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  '`auth` is `policy`': { auth: 'none' },
  'not read-only': { REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: 'true' },
  'deleting is on': { REGISTRY_STORAGE_DELETE_ENABLED: 'false' },
};

const collects = { REGISTRY_GC_ENABLED: 'true', REGISTRY_GC_EXCLUSIVE: 'true' };
const endpoints = JSON.stringify([
  { name: 'a', url: 'https://a.example.com' },
  { name: 'b', url: 'arn:aws:sqs:us-east-1:123456789012:b' },
  { name: 'c', url: 'arn:aws:events:us-east-1:123456789012:event-bus/c' },
]);
const upstreams = JSON.stringify([{ prefix: 'hub/**', url: 'https://hub.example.com', username: 'robot' }]);
const ownRules = { REGISTRY_RETENTION_OBJECT: 'stowage/retention.yaml' };

/** Parameters that add rights to those of the default. */
const wider: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  '`auth` is `htpasswd`': { auth: 'htpasswd' },
  '`storage` is `scs`': { storage: 'scs', scsBucket: 'images', scsRegion: 'bjctc' },
  '`search` is `mysql`': { search: 'mysql' },
  '`search` is `mysql`, with `subnets`': { search: 'mysql', subnets: 'subnet-0', securityGroups: 'sg-0' },
  'with a KMS key': {
    REGISTRY_STORAGE_S3_ENCRYPT: 'true',
    REGISTRY_STORAGE_S3_KEYID: 'arn:aws:kms:us-east-1:123456789012:key/0',
  },
  'garbage collection is on': { auth: 'none', ...collects },
  '`auth` is `policy`; garbage collection is on': collects,
  'with `REGISTRY_RETENTION_OBJECT`': { auth: 'none', ...ownRules },
  'with `REGISTRY_RETENTION_OBJECT`; garbage collection is on': { auth: 'none', ...ownRules, ...collects },
  'with endpoints of events': { auth: 'none', REGISTRY_NOTIFICATIONS_ENDPOINTS: endpoints },
  'with endpoints of events; garbage collection is on': {
    ...{ REGISTRY_NOTIFICATIONS_ENDPOINTS: endpoints, ...collects },
  },
  'with `eventQueue`': { auth: 'none', eventQueue: 'true', REGISTRY_NOTIFICATIONS_ENDPOINTS: endpoints },
  'with upstreams': {
    ...{ auth: 'none', REGISTRY_PROXY_UPSTREAMS: upstreams },
  },
  'on a server other than AWS': { REGISTRY_STORAGE_S3_REGIONENDPOINT: 'https://s3.example.com' },
};

interface Row {
  readonly on: string;
  readonly actions: string;
  readonly when: string;
  readonly who: string[];
}

/** The page with the rows of the table as they are in the code. */
export function withRights(page: string): string {
  const start = page.indexOf(heading) + heading.length;
  if (start < heading.length) throw new Error(`${rightsPage} has no table of rights`);
  const end = page.indexOf('\n\n', start);
  const rows = tableRows().map(
    ({ on, actions, who, when }) => `| ${on} | ${actions} | ${namesOf(who)} | ${when} |`,
  );
  return `${page.slice(0, start)}${rows.join('\n')}${end < 0 ? '\n' : page.slice(end)}`;
}

/** Rows that differ only in who has the right are one. */
function tableRows(): readonly Row[] {
  const rows = new Map<string, Row>();
  for (const { right, when } of conditions()) {
    const on = nameOf(right.on);
    const actions = right.actions.map(code).join(', ');
    const key = [on, actions, when].join('|');
    const row = rows.get(key) ?? { on, actions, when, who: [] };
    for (const who of right.for) if (!row.who.includes(who)) row.who.push(who);
    rows.set(key, row);
  }
  return [...rows.values()];
}

/** All rights that there can be, and when there are. */
function conditions(): readonly { right: Right; when: string }[] {
  const usual = rights(parametersOf({}));
  const fromUsual = usual.map((right) => ({
    right,
    when: Object.keys(narrower).filter(
      (name) => !includes(rights(parametersOf(narrower[name] ?? {})), right),
    ),
  }));
  const known = [...usual];
  const others = Object.entries(wider).flatMap(([name, parameters]) => {
    const added = rights(parametersOf(parameters)).filter((right) => !includes(known, right));
    known.push(...added);
    return added.map((right) => ({ right, when: [name] }));
  });
  return [...fromUsual, ...others].map(({ right, when }) => ({
    right,
    when: [...when, ...(right.source === undefined ? [] : [`[AWS](${right.source})`])].join('; '),
  }));
}

function parametersOf(overrides: Readonly<Record<string, string>>): Parameters {
  return readParameters({ stage: 'prod', region: 'us-east-1', overrides });
}

function includes(all: readonly Right[], right: Right): boolean {
  const text = JSON.stringify(right);
  return all.some((one) => JSON.stringify(one) === text);
}

const names: Readonly<Record<Extract<On, string>, string>> = {
  bucket: 'the bucket',
  'own logs': 'its own log group',
  'dead letters': 'the queue of failed jobs',
  'event queue': 'the queue of `eventQueue`',
  'copy function': 'the function `copy`',
  'network interfaces': 'network interfaces',
  'KMS key': 'the KMS key',
};

function nameOf(on: On): string {
  if (typeof on === 'string') return names[on];
  if ('secret' in on) return `the secret \`${on.secret}\``;
  if ('arns' in on)
    return on.arns.some((arn) => arn.includes(':sqs:')) ? 'queues of endpoints' : 'event buses of endpoints';
  return code(on.keys.replace(/^docker\/registry\/v2\//, ''));
}

const groups: readonly (readonly [name: string, members: readonly string[]])[] = [
  ['all functions', functionNames],
  ['all that serve requests', functionNames.filter(isHttpFunction)],
];

function namesOf(who: readonly string[]): string {
  const group = groups.find(([, members]) => members.every((member) => who.includes(member)));
  if (group === undefined) return who.map(code).join(', ');
  const others = who.filter((one) => !group[1].includes(one));
  return [group[0], ...others.map(code)].join(', ');
}

function code(text: string): string {
  return `\`${text}\``;
}

if (process.argv[1] === import.meta.filename)
  writeFileSync(rightsPage, withRights(readFileSync(rightsPage, 'utf8')));
