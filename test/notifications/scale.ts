/*
 * npm run scale:events -- [EVENTS]: an endpoint is down while there are so many events, which then wait in its queue, and takes them all
 * once it is up. Prints how long each takes, with the requests to a simulated bucket and the most memory, and fails if an event is missing
 * or out of order. The heap is limited, so that it also fails if what is in memory grows with the events.
 */
import assert from 'node:assert/strict';
import { deliverer, failed, localEndpoint, taken } from './delivering.ts';
import { ManyEvents } from './many-events.ts';

const count = Number(process.argv[2] ?? 1_000_000);
const longMs = 24 * 60 * 60_000;

const bucket = new ManyEvents(count, 'builds');
const endpoint = localEndpoint('builds', { keeps: false });
const one = deliverer(bucket, [endpoint], { timing: { maxAgeMs: Infinity } });

async function measure(what: string, work: () => Promise<void>): Promise<void> {
  const [startMs, asked] = [performance.now(), bucket.asked];
  await work();
  const seconds = Math.round((performance.now() - startMs) / 1000);
  const peakMegabytes = Math.round(process.resourceUsage().maxRSS / 1024);
  console.log(
    JSON.stringify({ what, events: count, seconds, requests: bucket.asked - asked, peakMegabytes }),
  );
}

await measure('events come while the endpoint is down', async () => {
  endpoint.answer(() => ({ ...failed, retryAfterMs: 1_000 }));
  await one.drain(longMs);
});
assert.equal(bucket.left, count);

await measure('the endpoint takes them', async () => {
  let next = 0;
  endpoint.answer(({ id }) => {
    assert.equal(id, `event-${next++}`);
    return taken;
  });
  while (bucket.left > 0) await one.drain(longMs);
  assert.equal(next, count);
});
