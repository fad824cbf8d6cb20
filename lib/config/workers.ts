import type { Environment, Settings } from './settings.ts';

/** Of a worker: its number from 0, which stays when another process takes its place. */
export const workerNumberVariable = 'STOWAGE_WORKER';

/** The number of this worker; undefined in a process that is none. */
export function readWorkerNumber(environment: Environment = process.env): number | undefined {
  const number = environment[workerNumberVariable];
  return number === undefined ? undefined : Number(number);
}

/** Processes that share the port of a server; undefined for as many as the machine gives. */
export function readWorkers(settings: Settings): number | undefined {
  const workers = settings.number('REGISTRY_HTTP_WORKERS', 'processes', { min: 1, max: 256, fallback: 0 });
  return workers === 0 ? undefined : workers;
}
