import { randomBytes } from 'node:crypto';
import { bcrypt } from '../access/htpasswd/bcrypt.ts';
import { controlCharacters, minCost, maxCost, nameFault, defaultCost } from '../access/htpasswd/entries.ts';
import { readOptions, UsageError, type Command } from './command.ts';
import { readPassword } from './read-password.ts';

/** Prints a line of a password file, without the program `htpasswd`. */
export const command: Command = {
  summary: 'print a line for the password file of REGISTRY_AUTH=htpasswd',
  usage: `Usage: stowage htpasswd NAME [--cost COST]

Reads a password from standard input and prints the line for a password file, like htpasswd -B:

  stowage htpasswd alice >> users.htpasswd

  --cost COST  of bcrypt, from ${minCost} to ${maxCost} (default ${defaultCost}); each step doubles the time of a login`,
  run: async (args) => {
    const { name, cost } = readLogin(args);
    const password = checked(await readPassword());
    console.log(await passwordLine(name, password, cost));
    return 0;
  },
};

/** Bytes that bcrypt uses. */
const maxPasswordBytes = 72;

function readLogin(args: readonly string[]): { name: string; cost: number } {
  const { values, positionals } = readOptions(args, { cost: { type: 'string' } });
  const [name, more] = positionals;
  if (name === undefined) throw new UsageError('the name of the user is missing');
  if (more !== undefined) throw new UsageError(`${JSON.stringify(more)} is one argument too many`);
  const fault = nameFault(name);
  if (fault !== undefined) throw new UsageError(`the name of the user ${fault}`);
  const cost = Number(values.cost ?? defaultCost);
  if (!Number.isInteger(cost) || cost < minCost || cost > maxCost)
    throw new UsageError(
      `--cost: ${JSON.stringify(values.cost)} is not a number from ${minCost} to ${maxCost}`,
    );
  return { name, cost };
}

function checked(password: string): string {
  if (password === '') throw new Error('the password is empty');
  if (controlCharacters.test(password))
    throw new Error('the password has a control character, which no client can send');
  const bytes = Buffer.byteLength(password);
  if (bytes > maxPasswordBytes)
    throw new Error(
      `the password has ${bytes} bytes, but bcrypt uses only the first ${maxPasswordBytes}; choose a shorter one`,
    );
  return password;
}

/** `NAME:HASH`. The hash has the prefix `$2y$`, which every program with password files supports. */
export async function passwordLine(name: string, password: string, cost = defaultCost): Promise<string> {
  const encoded = await bcrypt({ password, salt: randomBytes(16), costFactor: cost, outputType: 'encoded' });
  return `${name}:${encoded.replace(/^\$2\w\$/, '$2y$')}`;
}
