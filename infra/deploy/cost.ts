import { costAtRest } from '../cost-at-rest.ts';
import { pricesDate } from '../prices.ts';
import type { Template } from '../stack/template.ts';
import type { Plan } from './plan.ts';

/** What a stage costs in a month in which nobody uses it, in two lines. */
export function showCost({
  template,
  secrets,
  target,
}: Pick<Plan, 'template' | 'secrets' | 'target'>): string {
  // What osls has packaged is what infra/stack made, among others.
  const { items, sum, region } = costAtRest(template as Template, {
    secrets: secrets.secrets.length,
    region: target.account.region,
  });
  const parts = items.map(
    ({ what, dollars }) => `${what} ${dollars === undefined ? 'at a price unknown here' : money(dollars)}`,
  );
  return `Cost at rest: ${money(sum)} a month, without images and requests.
  ${parts.join(', ')} (list prices of ${region}, ${pricesDate}).`;
}

function money(dollars: number): string {
  return `$${dollars.toFixed(2)}`;
}
