import { createInterface } from 'node:readline/promises';

/** Whether there is a person to ask. */
export function isAtTerminal(): boolean {
  return process.stdin.isTTY && process.stdout.isTTY;
}

/** Asks at the terminal. Anything but yes is no. @throws the reason of `interrupted` */
export async function confirm(question: string, interrupted?: AbortSignal): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  // Without an answer, such as at Ctrl-D or Ctrl-C.
  const closed = new Promise<string>((resolve) => {
    terminal.once('close', () => {
      resolve('');
    });
    interrupted?.addEventListener('abort', () => {
      terminal.close();
    });
  });
  const answer = await Promise.race([terminal.question(`${question} [y/N] `), closed]);
  terminal.close();
  interrupted?.throwIfAborted();
  return /^y(es)?$/i.test(answer.trim());
}
