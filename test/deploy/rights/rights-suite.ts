import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { functionNames, isHttpFunction, type FunctionName } from '../../../infra/gateway.ts';
import type { Parameters } from '../../../infra/stack/parameters.ts';
import { rightsOf } from '../../../infra/stack/rights.ts';
import { secretName } from '../../../infra/stack/secrets.ts';
import type { Place, Stage } from '../stage.ts';
import { openSite } from './open-site.ts';
import { operations } from './operations.ts';
import type { Site } from './site.ts';
import { DeployedFunction, firstFailure } from './take-away.ts';

/** Who may edit what the policy says while these tests run: all, but that a tag called `fixed` stays. Uploads are counted. */
export const policyOfRights = `
immutable-tags:
  - { repositories: '**', tags: [fixed] }
quotas:
  - { repositories: '**', quota: 1 TB }
rules:
  - { name: all, who: admin, repositories: '**', allow: '*' }
`;

/**
 * Takes each right away from each function, one at a time: something that the function does must fail. A right that only AWS
 * asks for says so in the table.
 * @param deployed the stage with its bucket and parameters; the policy is {@link policyOfRights}
 */
export function rightsSuite(
  deployed: () => { place: Place; stage: Stage; bucket: string; parameters: Parameters },
): void {
  describe('the rights of each function', () => {
    let site: Site;
    let close: () => Promise<void>;

    before(async () => {
      const { place, stage, bucket } = deployed();
      ({ site, close } = await openSite(place, stage, bucket));
    });

    after(async () => {
      await close();
    });

    const needs = (name: FunctionName) => async () => {
      const { place, stage, parameters } = deployed();
      const opened = await DeployedFunction.open(place.emulator.aws, stage.functionName(name));
      assert.equal(await firstFailure(site, operations[name]), undefined);
      const needless: string[] = [];
      for (const [index, { actions, on, source }] of rightsOf(name, parameters).entries()) {
        if (source !== undefined) continue;
        // What is read at the start of an instance, or by its first push, and then kept.
        const isKept =
          typeof on === 'object' &&
          ('secret' in on || ('keys' in on && /^stowage\/|\/quotas\/.*\/used$/.test(on.keys)));
        const without =
          typeof on === 'object' && 'secret' in on ? secretName(parameters, on.secret) : undefined;
        for (const action of actions) {
          await opened.takeAway(index, action);
          if (isKept) await opened.restart({ without });
          const failure = await firstFailure(site, operations[name]);
          if (failure === undefined) needless.push(`${action} on ${JSON.stringify(on)}`);
          await opened.giveBack();
          if (isKept) await opened.restart();
        }
      }
      assert.deepEqual(needless, []);
      // The answers of probes are kept for a while.
      await opened.restart();
      assert.equal(await firstFailure(site, operations[name]), undefined);
    };

    // All others need its tokens.
    it('token needs all that it has', needs('token'));

    describe('that answer requests', { concurrency: 4 }, () => {
      for (const name of functionNames.filter((one) => isHttpFunction(one) && one !== 'token'))
        it(`${name} needs all that it has`, needs(name));
    });

    // They look at the whole bucket.
    for (const name of functionNames.filter((one) => !isHttpFunction(one)))
      it(`${name} needs all that it has`, needs(name));
  });
}
