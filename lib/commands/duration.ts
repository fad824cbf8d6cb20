import { readDuration } from '../protocol/durations.ts';
import { UsageError } from './command.ts';

/** Reads an age in hours or days. @returns milliseconds @throws UsageError */
export function readAge(option: string, text: string): number {
  const age = /^\d{1,5}[hd]$/.test(text) ? readDuration(text) : undefined;
  if (age === undefined)
    throw new UsageError(`--${option}: ${JSON.stringify(text)} is not an age such as 30d or 72h`);
  return age;
}
