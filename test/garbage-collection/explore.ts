import { collectionModel } from './model.ts';
import { larger, rowOf } from './scenarios.ts';
import { explore } from './state-space.ts';

// Takes ten minutes and 6 GB. Ends at the first fault, with the steps that lead to it.
for (const scenario of larger) {
  const { states, fault } = explore(collectionModel(scenario));
  console.log(`| ${rowOf(scenario)} | ${states.toLocaleString('en')} |`);
  if (fault === undefined) continue;
  console.error(`${fault.reason}:\n${fault.path.join('\n')}`);
  process.exit(1);
}
