import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { rightsOf, type Right } from '../../../infra/stack/rights.ts';
import { secretName } from '../../../infra/stack/secrets.ts';
import { deliveryLease, eventsPrefix, pendingPrefix } from '../../../lib/registry/layout.ts';
import { openSite } from '../rights/open-site.ts';
import { DeployedFunction } from '../rights/take-away.ts';
import { changes, tells, type TellingSite, type Writer } from './operations.ts';
import type { QuietStage } from './telling-stage.ts';

/** What fails without a right of the function `events`. */
function needing({ on }: Right, action: string): keyof typeof tells {
  if (on === 'bucket') return 'a webhook';
  assert.ok(typeof on === 'object');
  if ('secret' in on) return 'a webhook, signed';
  if ('arns' in on) return action === 'sqs:SendMessage' ? 'a queue' : 'an event bus';
  assert.ok('keys' in on);
  if (on.keys === `${eventsPrefix}*`) return 'a webhook';
  if (on.keys.includes('/_manifests/')) return 'of a tag that was moved since';
  if (on.keys.includes('/blobs/')) return 'of the bytes of a mounted blob';
  if (on.keys.includes('/uploads/')) return 'nobody of a write that was never made';
  return 'of a repository whose delete was interrupted';
}

/**
 * Takes each right about events away, one at a time: something that the function does must fail. For a stage whose function `events`
 * runs by hand alone.
 */
export function eventRightsSuite(deployed: () => QuietStage): void {
  describe('the rights of its functions', () => {
    let site: TellingSite;
    let close: () => Promise<void>;

    before(async () => {
      const { bucket, ...others } = deployed();
      const opened = await openSite(others.place, others.stage, bucket);
      // Its accessors stay its own.
      site = Object.assign(opened.site, others);
      ({ close } = opened);
    });

    after(async () => {
      await close();
    });

    const fails = async (operation: () => Promise<void>) =>
      await operation().then(
        () => false,
        () => true,
      );

    it('events needs all that it has', async () => {
      const { place, stage } = deployed();
      const opened = await DeployedFunction.open(place.emulator.aws, stage.functionName('events'));
      const needless: string[] = [];
      for (const [index, right] of rightsOf('events', stage.parameters).entries()) {
        const { on, actions, source } = right;
        if (source !== undefined) continue;
        const secret =
          typeof on === 'object' && 'secret' in on ? secretName(stage.parameters, on.secret) : '';
        for (const action of actions) {
          await opened.takeAway(index, action);
          if (secret !== '') await opened.restart({ without: secret });
          const what = needing(right, action);
          if (
            !(await fails(async () => {
              await tells[what](site);
            }))
          )
            needless.push(`${action} on ${JSON.stringify(on)}, to tell ${what}`);
          await opened.giveBack();
          if (secret !== '') await opened.restart();
          // It could not release it, and others would wait until it has expired.
          await site.bucket.delete(deliveryLease);
        }
      }
      assert.deepEqual(needless, []);
      // With all rights, each of them succeeds.
      for (const tell of Object.values(tells)) await tell(site);
    });

    for (const writer of Object.keys(changes) as Writer[])
      it(`${writer} needs all that it has to tell of its changes`, async () => {
        const { place, stage, triggers } = deployed();
        const opened = await DeployedFunction.open(place.emulator.aws, stage.functionName(writer));
        const operations = changes[writer];
        const asks = async () => {
          await triggers.loseMessages();
          await operations.changes(site);
          assert.ok((await triggers.loseMessages()) > 0);
        };
        const refuses = async () => {
          await operations.refuses?.(site);
        };
        const needless: string[] = [];
        for (const [index, { on, actions, source }] of rightsOf(writer, stage.parameters).entries()) {
          const isPending = typeof on === 'object' && 'keys' in on && on.keys === `${pendingPrefix}*`;
          if (source !== undefined || (!isPending && on !== 'event queue')) continue;
          for (const action of actions) {
            await opened.takeAway(index, action);
            if (!(await fails(action === 's3:DeleteObject' ? refuses : asks)))
              needless.push(`${action} on ${JSON.stringify(on)}`);
            await opened.giveBack();
          }
        }
        assert.deepEqual(needless, []);
        await asks();
        await refuses();
      });
  });
}
