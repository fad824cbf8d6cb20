import { secretName } from '../stack/secrets.ts';
import type { Bucket } from './bucket.ts';
import type { Change } from './changes.ts';
import { showCost } from './cost.ts';
import type { Plan } from './plan.ts';
import { roundsOf } from './secrets.ts';

const signs = { added: '+', changed: '~', replaced: '!', removed: '-' } as const;

/** Resources of one type that are listed by name; of more, their number is. */
const maxListed = 6;

/** What a person reads before saying yes. */
export function showPlan(plan: Plan): string {
  const { target, stack, bucket } = plan;
  const { account, parameters } = target;
  const heading = [
    `Account  ${account.id} (${account.caller})`,
    `Region   ${account.region}`,
    `Stage    ${parameters.stage}: ${stack === undefined ? 'a new registry' : `the stack ${stack.name}`}`,
    `Bucket   ${showBucket(bucket)}`,
  ];
  const lines = [...showChanges(plan.changes), ...showSecrets(plan)];
  const changes =
    lines.length === 0
      ? ['Nothing changes.']
      : ['Changes (+ added, ~ changed, ! replaced, - removed):', ...lines];
  return [...heading, '', ...changes, '', showCost(plan)].join('\n');
}

function showBucket({ name, state }: Bucket): string {
  return `${name}, ${bucketStates[state]}`;
}

const bucketStates: Readonly<Record<Bucket['state'], string>> = {
  made: 'which is made',
  kept: 'which stays',
  taken: 'which is there and is taken as it is',
  'of another store': 'of SCS',
};

export function showChanges(changes: readonly Change[]): string[] {
  const groups = Object.values(Object.groupBy(changes, ({ kind, type }) => `${kind} ${type}`));
  return groups.flatMap((group = []) => {
    const [first] = group;
    if (first === undefined) return [];
    if (group.length <= maxListed && first.kind !== 'added') return group.map(showChange);
    const same = group.map(({ properties }) => properties.join(', '));
    const properties = new Set(same).size === 1 && same[0] !== '' ? `: ${same[0]}` : '';
    return [`  ${signs[first.kind]} ${group.length} ${first.type}${properties}`];
  });
}

function showChange({ id, type, kind, properties }: Change): string {
  return `  ${signs[kind]} ${id} (${type})${properties.length > 0 ? `: ${properties.join(', ')}` : ''}`;
}

function showSecrets({ secrets, restores, target }: Plan): string[] {
  const { stage } = target.parameters;
  const rows = secrets.secrets.flatMap(({ kind, storedVersion, note }) => {
    const name = `secret ${secretName({ stage }, kind)}`;
    if (restores.includes(kind)) return [`  + ${name}: restored from its deletion`];
    return note === undefined ? [] : [`  ${storedVersion === undefined ? '+' : '~'} ${name}: ${note}`];
  });
  const rounds = roundsOf(secrets);
  return rounds > 1 ? [...rows, `  This takes ${rounds} deployments, one after the other.`] : rows;
}
