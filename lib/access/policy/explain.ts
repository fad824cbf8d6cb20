import { nameOf, type Action, type Identity } from '../access.ts';
import { nameOfWho, type Rule } from './model.ts';
import { fitsSegment } from './patterns.ts';
import { noRule, userOf, type Policy, type PolicyDecision } from './policy.ts';

/** A request to be decided. */
export interface Question {
  readonly identity: Identity;
  readonly action: Action;
  readonly repository: string;
  readonly tag?: string | undefined;
  /** Whether a pushed tag exists already. A deleted tag always does. */
  readonly exists?: boolean | undefined;
}

/** One step of a decision. */
export interface Step {
  /** `rule 3 (releases)` */
  readonly name: string;
  /** Line of the file, for rules. */
  readonly line?: number;
  readonly outcome: 'allow' | 'deny' | 'pass';
  /** Why it decided, or why it did not match. */
  readonly reason: string;
}

export interface Explanation extends PolicyDecision {
  /** In order of evaluation. The last step other than `pass` decides. */
  readonly steps: readonly Step[];
  /** Rules that were not evaluated. */
  readonly rulesLeft: number;
}

/** Decides a request and its tag. An immutable tag can be pushed once, and not deleted. */
export function decideWithTag(policy: Policy, question: Question): PolicyDecision {
  const decision = policy.decide(question.identity, question.action, question.repository);
  const immutable = immutableRule(policy, question);
  return decision.allowed && immutable !== undefined && replaces(question)
    ? { allowed: false, rule: immutable }
    : decision;
}

/** Lists all steps of a decision, each with the reason why it matched or not. */
export function explain(policy: Policy, question: Question): Explanation {
  const steps = [...stepsBeforeRules(policy, question)];
  let evaluated = 0;
  if (!steps.some(isDenied))
    for (const rule of policy.content.rules) {
      evaluated++;
      const step = stepOfRule(policy, rule, question);
      steps.push(step);
      if (step.outcome !== 'pass') break;
    }
  if (!steps.some(isDenied)) steps.push(...stepsAfterRules(policy, question, steps));
  return { ...decideWithTag(policy, question), steps, rulesLeft: policy.content.rules.length - evaluated };
}

const isDenied = ({ outcome }: Step) => outcome === 'deny';

function stepsBeforeRules(policy: Policy, { identity, action, repository }: Question): Step[] {
  const steps: Step[] = [];
  const add = (name: string, denial: string | undefined, otherwise: string) => {
    steps.push({
      name,
      outcome: denial === undefined ? 'pass' : 'deny',
      reason: denial ?? otherwise,
    });
  };
  if (identity.kind === 'robot')
    add('robots', policy.invalidReason(identity), `${nameOf(identity)} is not revoked`);
  if (identity.kind === 'ci')
    add('ci', policy.invalidReason(identity), `${nameOf(identity)} is one of the identities`);
  const change = action === 'push' || action === 'delete';
  if (change && policy.content.readOnly.length > 0 && !steps.some(isDenied))
    add(
      'read-only',
      policy.readOnlyReason(action, repository.split('/')),
      `${repository} matches none of ${listOf(policy.content.readOnly.map(({ text }) => text))}`,
    );
  return steps;
}

function stepOfRule(policy: Policy, rule: Rule, question: Question): Step {
  const { label: name, line, allows } = rule;
  const { identity, action, repository } = question;
  const who = policy.whoMatches(rule, identity);
  const user = userOf(identity);
  const pattern = rule.repositories.find((candidate) => candidate.matches(repository.split('/'), user));
  const isNamed = rule.actions.has(action);
  if (who !== undefined && pattern !== undefined && isNamed) {
    const caller = nameOfWho(who);
    return {
      name,
      line,
      outcome: allows ? 'allow' : 'deny',
      reason: `it ${allows ? 'allows' : 'denies'} ${action} to ${caller} in ${pattern.text}`,
    };
  }
  const reasons = [
    ...(who === undefined ? [`${nameOf(identity)} is not in ${listOf(rule.who.map(nameOfWho))}`] : []),
    ...(pattern === undefined ? [mismatch(rule, question)] : []),
    ...(isNamed ? [] : [`it applies to ${[...rule.actions].join(', ')}`]),
  ];
  return { name, line, outcome: 'pass', reason: reasons.join('; ') };
}

function mismatch({ repositories }: Rule, { identity, repository }: Question): string {
  const user = userOf(identity);
  const texts = listOf(repositories.map(({ text }) => text));
  const without = !repositories.some(({ ofUser }) => ofUser)
    ? ''
    : user === undefined
      ? ` (${nameOf(identity)} is not a user, so \${user} matches nothing)`
      : fitsSegment(user)
        ? ''
        : ` (${JSON.stringify(user)} cannot be a segment of a repository's name, so \${user} matches nothing)`;
  return `${repository} matches none of ${texts}${without}`;
}

/** List entries in a message. */
const maxListed = 10;

function listOf(texts: readonly string[]): string {
  const more = texts.length - maxListed;
  return texts.slice(0, maxListed).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

function stepsAfterRules(policy: Policy, question: Question, before: readonly Step[]): Step[] {
  const { identity, action, repository } = question;
  const steps: Step[] = [];
  if (identity.kind === 'robot' && identity.grants !== undefined) {
    const covered = policy.covers(identity.grants, action, repository.split('/'));
    const reason = `they ${covered ? 'cover' : 'do not cover'} ${action} in ${repository}`;
    steps.push({ name: `grants of ${nameOf(identity)}`, outcome: covered ? 'allow' : 'deny', reason });
  } else if (before.at(-1)?.outcome !== 'allow')
    steps.push({ name: noRule, outcome: 'deny', reason: 'no rule matches, so it is denied' });
  const immutable = immutableRule(policy, question);
  if (immutable === undefined || steps.some(isDenied)) return steps;
  const outcome = replaces(question) ? 'deny' : 'pass';
  const what = `${repository}:${question.tag ?? ''}`;
  const reason =
    outcome === 'deny'
      ? `${what} cannot be moved or deleted`
      : `${what} can be pushed while it does not exist`;
  return [...steps, { name: immutable, outcome, reason }];
}

function immutableRule(policy: Policy, { action, repository, tag }: Question): string | undefined {
  const changes = action === 'push' || action === 'delete';
  return changes && tag !== undefined ? policy.immutable(repository, tag) : undefined;
}

/** Whether a tag would be moved or deleted. */
function replaces({ action, exists }: Question): boolean {
  return action === 'delete' || exists === true;
}
