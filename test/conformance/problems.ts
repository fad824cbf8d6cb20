import type { Problem, Results } from './results.ts';

/** A run by the name a reader knows it by. */
export interface NamedRun {
  readonly name: string;
  readonly results: Results;
}

/** The tests that did not pass, each on a line with what the suite says of it and the runs it did not pass in. */
export function problemsText(runs: readonly NamedRun[]): string {
  const places = new Map<string, Set<string>>();
  for (const { name, results } of runs)
    for (const line of results.problems.map(problemLine))
      places.set(line, (places.get(line) ?? new Set()).add(name));
  return [...places].map(([line, names]) => `${line} (${placesText([...names], runs.length)})`).join('\n');
}

function problemLine({ outcome, name, message }: Problem): string {
  return `${outcome}: ${name}: ${message}`;
}

function placesText(names: readonly string[], all: number): string {
  return names.length === all && all > 1 ? 'everywhere' : names.join(', ');
}
