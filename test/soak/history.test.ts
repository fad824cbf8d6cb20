import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gone, History, there } from './history.ts';

const possible = (history: History, key = 'key') => {
  const span = history.end(history.begin());
  return [...history.possible(key, span)].sort();
};

describe('a history', () => {
  it('a history begins empty', () => {
    assert.deepEqual(possible(new History()), [gone]);
  });

  it('a history has the last of sequential writes', () => {
    const history = new History();
    for (const value of ['a', 'b', 'c']) history.wrote('key', value, history.end(history.begin()));
    assert.deepEqual(possible(history), ['c']);
    assert.deepEqual(possible(history, 'other'), [gone]);
  });

  it('a history has any of concurrent writes', () => {
    const history = new History();
    const [a, b] = [history.begin(), history.begin()];
    history.wrote('key', 'a', history.end(a));
    history.wrote('key', 'b', history.end(b));
    assert.deepEqual(possible(history), ['a', 'b']);
  });

  it('a history lets a read find writes before and during it, but no replaced ones', () => {
    const history = new History();
    for (const value of ['a', 'b']) history.wrote('key', value, history.end(history.begin()));
    const read = history.begin();
    const write = history.begin();
    const span = history.end(read);
    history.wrote('key', 'c', history.end(write));
    assert.deepEqual([...history.possible('key', span)].sort(), ['b', 'c']);
    assert.deepEqual(possible(history), ['c']);
  });

  it('a history does not let a read find later writes', () => {
    const history = new History();
    const span = history.end(history.begin());
    history.wrote('key', there, history.end(history.begin()));
    assert.deepEqual([...history.possible('key', span)], [gone]);
  });

  it('a history keeps replaced writes for a long read', () => {
    const history = new History();
    history.wrote('key', 'old', history.end(history.begin()));
    const read = history.begin();
    for (let i = 0; i < 100; i++) history.wrote('key', `new${i}`, history.end(history.begin()));
    assert.ok(history.possible('key', history.end(read)).has('old'));
  });

  it('a history has both values of an uncertain write until one is certain', () => {
    const history = new History();
    history.wrote('key', 'a', history.end(history.begin()));
    history.mayHaveWritten('key', 'b', history.end(history.begin()));
    assert.deepEqual(possible(history), ['a', 'b']);
    history.wrote('key', 'c', history.end(history.begin()));
    assert.deepEqual(possible(history), ['c']);
  });

  it('a history lets a read find a write in progress', () => {
    const history = new History();
    const write = history.begin();
    history.mayWrite('key', 'a', write);
    assert.deepEqual(possible(history), ['a', gone]);
    const span = history.end(write);
    history.settle(write);
    assert.deepEqual(possible(history), [gone]);
    history.wrote('key', 'a', span);
    assert.deepEqual(possible(history), ['a']);
  });

  it('a history may have a lost request at any later time', () => {
    const history = new History();
    const lost = history.begin();
    history.mayWrite('key', 'lost', lost);
    history.end(lost);
    history.wrote('key', 'b', history.end(history.begin()));
    assert.deepEqual(possible(history), ['b', 'lost']);
  });
});
