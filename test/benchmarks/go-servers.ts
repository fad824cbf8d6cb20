import { existsSync } from 'node:fs';
import { messageOf } from '../conformance/messages.ts';
import { install } from '../servers/go-install.ts';
import { goProgramPlace, goPrograms, type GoProgram } from '../servers/go-programs.ts';

const needed = ['registry', 'versitygw'] as const satisfies readonly GoProgram[];

/** Builds the servers in Go that are not here yet. One that cannot be built is said. */
export async function buildServers(say: (what: string) => void): Promise<void> {
  for (const name of needed) {
    if (existsSync(goProgramPlace(name).file)) continue;
    say(`building ${goPrograms[name]}, which takes some minutes`);
    await install(goPrograms[name], goProgramPlace(name).folder).catch((error: unknown) => {
      say(messageOf(error));
    });
  }
}
