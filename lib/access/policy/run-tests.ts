import type { Identity } from '../access.ts';
import { decideWithTag, type Question } from './explain.ts';
import type { PolicyTest } from './model.ts';
import type { Policy, PolicyDecision } from './policy.ts';

export interface TestResult {
  readonly test: PolicyTest;
  readonly decision: PolicyDecision;
  readonly passed: boolean;
}

/** Runs the tests of a policy file. */
export function runTests(policy: Policy): TestResult[] {
  return policy.content.tests.map((test) => {
    const decision = decideWithTag(policy, questionOf(test));
    return { test, decision, passed: decision.allowed === (test.expect === 'allow') };
  });
}

/** The request of a test. */
export function questionOf({ as, repository, action, tag, exists }: PolicyTest): Question {
  return { identity: identityOf(as), repository, action, tag, exists };
}

/** A robot gets a new token without grants, so that the rules alone decide. */
export function identityOf(as: PolicyTest['as']): Identity {
  return as.kind === 'robot' ? { ...as, issuedAt: Date.now() / 1000 } : as;
}
