import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryFolder } from './folder.ts';
import { freePort } from './ports.ts';
import { launch } from './process.ts';

/** A sample of a query's result. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Prometheus {
  /** Evaluates an expression now. @throws Error if it is none */
  query(expression: string): Promise<readonly Sample[]>;
  stop(): Promise<void>;
}

/** Starts Debian's Prometheus, which reads the metrics of a server each second, as the job `stowage`. */
export async function startPrometheus(target: string): Promise<Prometheus> {
  const folder = await temporaryFolder('prometheus');
  const address = `127.0.0.1:${await freePort()}`;
  const file = join(folder.path, 'prometheus.yml');
  const scrape = { job_name: 'stowage', static_configs: [{ targets: [target] }] };
  const config = { global: { scrape_interval: '1s', scrape_timeout: '1s' }, scrape_configs: [scrape] };
  await writeFile(file, JSON.stringify(config));
  const args = [
    `--config.file=${file}`,
    `--storage.tsdb.path=${join(folder.path, 'data')}`,
    `--web.listen-address=${address}`,
  ];
  const ready = async () => (await fetch(`http://${address}/-/ready`)).ok;
  const server = await launch('prometheus', args, ready);
  return {
    query: async (expression) => {
      const url = `http://${address}/api/v1/query?query=${encodeURIComponent(expression)}`;
      const answer = (await (await fetch(url)).json()) as QueryResponse;
      if (answer.data === undefined) throw new Error(`${expression}: ${answer.error}`);
      return answer.data.result.map(({ metric, value: [, value] }) => ({ metric, value: Number(value) }));
    },
    stop: async () => {
      await server.stop();
      folder.remove();
    },
  };
}

interface QueryResponse {
  readonly error?: string;
  readonly data?: {
    readonly result: readonly { readonly metric: Sample['metric']; readonly value: [number, string] }[];
  };
}
