import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { serve, type Place, type Stowage } from '../servers/stowage.ts';

/** Runs a registry with workers, all of which listen, during some work. */
export async function withWorkers(
  place: Place,
  count: number,
  settings: Readonly<Record<string, string>>,
  work: (registry: Stowage) => Promise<void>,
): Promise<void> {
  const registry = await serve(place, { REGISTRY_HTTP_WORKERS: String(count), ...settings });
  try {
    await until(() => registry.output().includes('The registry listens at'));
    assert.equal(workersOf(registry).length, count);
    await work(registry);
  } finally {
    await registry.stop();
  }
}

/** Waits at most ten seconds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200 && !(await condition()); tries++) await delay(50);
  assert.ok(await condition());
}

/** The process ids of the workers of a registry, oldest first. */
export function workersOf({ pid }: Pick<Stowage, 'pid'>): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}
