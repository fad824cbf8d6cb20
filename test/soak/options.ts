import { groundNames, whyNoGround, type GroundName } from './grounds.ts';

/** A whole number above a least one, or the end of the process. */
export function above(least: number, option: string, text: string, usage: string): number {
  const number = Number(text);
  if (/^\d{1,9}$/.test(text) && number > least) return number;
  return giveUp(`${option}: ${JSON.stringify(text)} is no whole number above ${least}\n\n${usage}`);
}

/** A ground that can be had here, or the end of the process. */
export function groundNamed(text: string, usage: string): GroundName {
  const name = groundNames.find((one) => one === text);
  if (name === undefined)
    return giveUp(`--on: ${JSON.stringify(text)} is none of ${groundNames.join(', ')}\n\n${usage}`);
  const missing = whyNoGround(name);
  return missing === undefined ? name : giveUp(`--on ${name}: ${missing}`);
}

export function giveUp(why: string, code = 2): never {
  (code === 0 ? console.log : console.error)(why);
  process.exit(code);
}
