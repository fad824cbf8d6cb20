/*
 * Loaded by a registry before all else (`--import`): moves its clock by the seconds in the file that STOWAGE_TEST_CLOCK names.
 */
import { readFileSync } from 'node:fs';

const file = process.env['STOWAGE_TEST_CLOCK'];
const RealDate = Date;

function moved(): number {
  return RealDate.now() + (file === undefined ? 0 : Number(readFileSync(file, 'utf8')) * 1000);
}

globalThis.Date = class extends RealDate {
  constructor(...args: unknown[]) {
    if (args.length === 0) super(moved());
    else super(...(args as [number]));
  }

  static override now(): number {
    return moved();
  }
} as DateConstructor;
