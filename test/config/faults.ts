import assert from 'node:assert/strict';
import { ConfigError, loadConfig, type Program } from '../../lib/config/config.ts';
import type { Environment } from '../../lib/config/settings.ts';

/** The faults of settings, each of which is in the one message. */
export function faultsOf(environment: Environment, program: Program = 'server'): readonly string[] {
  try {
    loadConfig(program, environment);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    for (const fault of error.faults)
      assert.ok(error.message.includes(fault), 'the message leaves out a fault');
    return error.faults;
  }
  return [];
}
