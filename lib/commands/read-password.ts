import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';

/** Characters: a password file has fewer. */
const longest = 4096;

/**
 * The first line of standard input. At a terminal it is asked for, and does not show.
 * @param times twice for a new one
 * @throws Error where it was not the same twice, or is no text
 */
export async function readPassword(times: 'once' | 'twice' = 'twice'): Promise<string> {
  return process.stdin.isTTY ? await askFor(times) : await readLine();
}

async function readLine(): Promise<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let text = '';
  try {
    for await (const bytes of process.stdin) {
      text += decoder.decode(bytes as Uint8Array, { stream: true });
      if (text.length > longest) throw new Error('the password is too long');
    }
    text += decoder.decode();
  } catch (error) {
    if (error instanceof TypeError) throw new Error('the password is not text in UTF-8', { cause: error });
    throw error;
  }
  return text.replace(/\r?\n$/, '');
}

async function askFor(times: 'once' | 'twice'): Promise<string> {
  const silent = new Writable({
    write: (_, __, done) => {
      done();
    },
  });
  // From here on the terminal shows nothing of what is typed.
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true });
  terminal.once('SIGINT', () => {
    terminal.close();
  });
  try {
    const lines = terminal[Symbol.asyncIterator]();
    const password = await ask('Password: ', lines);
    if (times === 'twice' && (await ask('The same again: ', lines)) !== password)
      throw new Error('the passwords differ');
    return password;
  } finally {
    terminal.close();
  }
}

/** Standard output is for the line alone. */
async function ask(question: string, lines: AsyncIterator<string>): Promise<string> {
  process.stderr.write(question);
  const answer = await lines.next();
  process.stderr.write('\n');
  if (answer.done === true) throw new Error('no password was given');
  return answer.value;
}
