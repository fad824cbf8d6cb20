import { randomUUID } from 'node:crypto';
import type { EventContext } from './registry/events.ts';
import type { Registry } from './registry/interface.ts';
import type { Announce } from './registry/outbox/announcement.ts';
import type { Outbox } from './registry/outbox/outbox.ts';
import { withEvents } from './registry/wrappers/with-events.ts';

/** Announces what a command or a job changes, which no client has asked for. @returns undefined if nobody is told */
export function announceAs(outbox: Outbox | undefined, command: string): Announce | undefined {
  const context = contextOf(command);
  return outbox && ((change) => outbox.announce(change, context));
}

/** A registry whose changes are announced as those of a command or a job. */
export function registryAs(registry: Registry, outbox: Outbox | undefined, command: string): Registry {
  return outbox === undefined ? registry : withEvents(registry, contextOf(command), () => undefined, outbox);
}

function contextOf(command: string): EventContext {
  return {
    actor: `stowage ${command}`,
    request: {
      id: randomUUID(),
      method: '',
      path: '',
      host: '',
      protocol: 'https',
      userAgent: 'stowage',
      address: undefined,
    },
  };
}
