import { temporaryFolder } from './folder.ts';
import { goProgramPlace, type GoProgram } from './go-programs.ts';
import { freePort } from './ports.ts';
import { cleanEnvironment, launch } from './process.ts';
import { s3Server, secretKey, type S3Server } from './s3.ts';

/** What a program gets to serve S3 with. */
export interface S3Place {
  /** Host and port. */
  readonly address: string;
  /** An empty folder. */
  readonly folder: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

export interface S3Program {
  readonly program: GoProgram;
  /** A path that is answered with 200 once it is ready. */
  readonly health: string;
  readonly args: (place: S3Place) => readonly string[];
  readonly env?: (place: S3Place) => Record<string, string>;
}

/** A server of S3 that is one process. */
export interface S3Process extends S3Server {
  /** Ends it and keeps what it has stored. */
  halt(): Promise<void>;
  /** Starts it again, at the same address. */
  resume(): Promise<void>;
}

/** Starts a server of S3 that is one process, which keeps all in a folder of its own. */
export async function startS3({ program, health, args, env }: S3Program): Promise<S3Process> {
  const folder = await temporaryFolder(program);
  const address = `127.0.0.1:${await freePort()}`;
  const place = { address, folder: folder.path, accessKey: 'tester', secretKey: secretKey() };
  const endpoint = `http://${address}`;
  const ready = async () => (await fetch(endpoint + health)).ok;
  const options = { env: cleanEnvironment({ HOME: folder.path, ...env?.(place) }) };
  const start = async () => await launch(goProgramPlace(program).file, args(place), ready, options);
  let server = await start().catch((error: unknown) => {
    folder.remove();
    throw error;
  });
  const where = { endpoint, accessKey: place.accessKey, secretKey: place.secretKey };
  const s3 = s3Server(where, async () => {
    await server.stop();
    folder.remove();
  });
  return {
    ...s3,
    halt: async () => {
      await server.stop();
    },
    resume: async () => {
      server = await start();
    },
  };
}
