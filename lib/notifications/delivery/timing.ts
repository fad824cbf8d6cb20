/** When what is done about events, in milliseconds. Tests have other ones. */
export interface DeliveryTiming {
  /** How often a process that delivers looks for events of other processes. */
  readonly pollMs: number;
  /** After which without events it lets other processes deliver. */
  readonly idleMs: number;
  /** After which a process looks whether another one that delivers has seen its event. */
  readonly otherMs: number;
  /** How often every server looks for events that nobody delivers. */
  readonly lookMs: number;
  /** How long events wait in memory for an endpoint before they go to its queue in the bucket. */
  readonly slowMs: number;
  /** How long an event may be in the queue of an endpoint. */
  readonly maxAgeMs: number;
}

export const usualTiming: DeliveryTiming = {
  pollMs: 2_000,
  idleMs: 60_000,
  otherMs: 5_000,
  lookMs: 60_000,
  slowMs: 5_000,
  maxAgeMs: 24 * 60 * 60_000,
};
