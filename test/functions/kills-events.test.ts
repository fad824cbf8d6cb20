import { killsEvents } from './kills-events.ts';

// Each kill takes seconds: test/long has them all.
killsEvents({ push: 6, others: 12 });
