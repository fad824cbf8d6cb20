import { killsEvents } from '../functions/kills-events.ts';

killsEvents({ push: 1, others: 1 });
