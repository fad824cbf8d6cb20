import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FairPlaces } from '../../lib/concurrency/fair-places.ts';

/** @returns how many it got */
function takeAll(places: FairPlaces, client: string): number {
  let taken = 0;
  while (places.take(client)) taken++;
  return taken;
}

describe('places that clients share', () => {
  it('go by half to one client, and by half of the rest to the next', () => {
    const places = new FairPlaces(100);
    assert.equal(takeAll(places, 'first'), 50);
    assert.equal(takeAll(places, 'second'), 25);
  });

  it('are there for every one of many clients', () => {
    const places = new FairPlaces(1000);
    takeAll(places, 'greedy');
    for (let i = 0; i < 400; i++) assert.ok(places.take(`client ${i}`), `client ${i}`);
  });

  it('can be taken again once they are released', () => {
    const places = new FairPlaces(3);
    assert.equal(takeAll(places, 'a'), 2);
    places.release('a');
    assert.ok(places.take('b'));
    places.release('a');
    places.release('a');
    assert.equal(places.take('c'), true);
    assert.equal(places.take('c'), false);
  });

  it('are scarce when one client has as many as it can take', () => {
    for (const total of [1, 2, 3, 100, 333]) {
      const places = new FairPlaces(total);
      assert.equal(places.isScarce, false);
      takeAll(places, 'a');
      assert.equal(places.isScarce, true, String(total));
    }
  });
});
