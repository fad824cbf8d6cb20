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

/** Starts a server of S3 that is one process, which keeps all in a folder of its own. */
export async function startS3({ program, health, args, env }: S3Program): Promise<S3Server> {
  const folder = await temporaryFolder(program);
  const address = `127.0.0.1:${await freePort()}`;
  const place = { address, folder: folder.path, accessKey: 'tester', secretKey: secretKey() };
  const endpoint = `http://${address}`;
  const ready = async () => (await fetch(endpoint + health)).ok;
  const options = { env: cleanEnvironment({ HOME: folder.path, ...env?.(place) }) };
  const starts = launch(goProgramPlace(program).file, args(place), ready, options);
  const server = await starts.catch((error: unknown) => {
    folder.remove();
    throw error;
  });
  return s3Server({ endpoint, accessKey: place.accessKey, secretKey: place.secretKey }, async () => {
    await server.stop();
    folder.remove();
  });
}
