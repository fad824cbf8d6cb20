import { folderStorage } from '../servers/storage.ts';
import { keepLog } from '../logs/kept.ts';
import { freePort } from '../servers/ports.ts';
import { cleanEnvironment, launch } from '../servers/process.ts';
import { programFile } from '../servers/programs.ts';
import { policySettings, type PolicySettings } from './policy-registry.ts';

/** `stowage serve` with a policy, as a process of its own whose log can be read. */
export interface PolicyProcess extends PolicySettings {
  readonly url: string;
  /** All that it has written. */
  readonly output: () => string;
  stop(): Promise<void>;
}

export async function startPolicyProcess(
  policy: string,
  users: readonly string[],
  settings: Readonly<Record<string, string>> = {},
): Promise<PolicyProcess> {
  const access = await policySettings(policy, users);
  const storage = await folderStorage();
  const address = `127.0.0.1:${await freePort()}`;
  const url = `http://${address}`;
  const ready = async () => (await fetch(`${url}/v2/`)).status === 401;
  const keep = keepLog();
  let output = '';
  const server = await launch(process.execPath, [programFile('lib/commands/stowage.ts'), 'serve'], ready, {
    env: cleanEnvironment({
      ...access.settings,
      ...storage.settings,
      REGISTRY_HTTP_ADDR: address,
      ...settings,
    }),
    logged: (text) => {
      output += text;
      keep(text);
    },
  });
  return {
    ...access,
    url,
    output: () => output,
    stop: async () => {
      await server.stop('SIGINT');
      storage.remove();
      access.remove();
    },
  };
}
