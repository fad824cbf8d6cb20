import { RegistryError } from '../protocol/errors.ts';

/**
 * Requests cannot be decided, for a reason that was logged when it arose. It is not logged again with each request, which anybody
 * may send.
 */
export class AccessUnavailable extends RegistryError {
  constructor(message: string, cause: unknown) {
    super('UNAVAILABLE', message, [], { cause });
  }
}
