import type { OnWait } from '../../registry/undo/repository-fences.ts';

/** Tells the user of a wait on standard error. @param otherwise what helps after an interruption */
export function reportWait(otherwise: string): OnWait {
  return (ms) => {
    const time = ms < 90_000 ? `${Math.ceil(ms / 1000)} s` : `${Math.ceil(ms / 60_000)} minutes`;
    console.error(
      `waiting for ${time}, until what other processes had begun before has ended; if this is interrupted, ${otherwise}`,
    );
  };
}
