import { messageOf } from './messages.ts';

/** Parses a value of `--only` as one of some names. Throws an error that says what is wrong. */
export function onlyOf<T extends string>(names: readonly T[], text: string): T {
  const name = names.find((one) => one === text);
  if (name !== undefined) return name;
  throw new Error(`--only: ${JSON.stringify(text)} is none of ${names.join(', ')}`);
}

/**
 * Reads a command line, or says why not.
 * @param read throws with what is wrong
 * @returns the options, or the code to exit with
 */
export function parsed<T extends object>(read: () => T | 'help', usage: string): T | number {
  try {
    const options = read();
    if (options !== 'help') return options;
    console.log(usage);
    return 0;
  } catch (error) {
    console.error(`${messageOf(error)}\n\n${usage}`);
    return 2;
  }
}
