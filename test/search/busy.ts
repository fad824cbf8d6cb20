import assert from 'node:assert/strict';
import { join } from 'node:path';

import { launch, type Server } from '../servers/process.ts';

/** Does something while four processes are busy, as `busy-process.ts` does it, none of which may fail. */
export async function whileBusy(args: readonly string[], act: () => Promise<void>): Promise<void> {
  const processes: Server[] = [];
  try {
    for (let i = 0; i < 4; i++) processes.push(await busyProcess(args));
    await act();
  } finally {
    const exits = await Promise.all(processes.map(async (one) => await one.stop()));
    for (const [i, { signal }] of exits.entries()) assert.equal(signal, 'SIGTERM', processes[i]?.output());
  }
}

async function busyProcess(args: readonly string[]): Promise<Server> {
  let output = '';
  const isBusy = () => Promise.resolve(output.includes('busy\n'));
  const logged = (text: string) => {
    output += text;
  };
  const program = join(import.meta.dirname, 'busy-process.ts');
  return await launch(process.execPath, [program, ...args], isBusy, { logged });
}
