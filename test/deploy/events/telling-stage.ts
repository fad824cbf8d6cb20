import type { UserClient } from '../client.ts';
import type { Place, Stage } from '../stage.ts';
import type { Targets } from './targets.ts';
import type { Triggers } from './triggers.ts';

/** A stage with endpoints, and what its functions use. */
export interface TellingStage {
  readonly place: Place;
  readonly stage: Stage;
  readonly bucket: string;
  readonly targets: Targets;
}

/** … whose function `events` runs by hand alone. */
export interface QuietStage extends TellingStage {
  readonly client: UserClient;
  readonly triggers: Triggers;
}
