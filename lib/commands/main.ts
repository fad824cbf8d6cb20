import manifest from '../../package.json' with { type: 'json' };
import { ConfigError } from '../config/config.ts';
import { didYouMean } from '../config/did-you-mean.ts';
import { reasonOf, UsageError, type Command } from './command.ts';

/** In the order of the help. Loaded on demand, so that none pays for another's imports. */
const commands: Readonly<Record<string, () => Promise<{ readonly command: Command }>>> = {
  serve: async () => await import('./serve.ts'),
  start: async () => await import('./start.ts'),
  deploy: async () => await import('./deploy.ts'),
  remove: async () => await import('./remove.ts'),
  health: async () => await import('./health.ts'),
  'purge-uploads': async () => await import('./purge-uploads.ts'),
  config: async () => await import('./config.ts'),
  gc: async () => await import('./gc.ts'),
  usage: async () => await import('./usage.ts'),
  reindex: async () => await import('./reindex.ts'),
  history: async () => await import('./history.ts'),
  rollback: async () => await import('./rollback.ts'),
  restore: async () => await import('./restore.ts'),
  retention: async () => await import('./retention.ts'),
  delete: async () => await import('./delete.ts'),
  copy: async () => await import('./copy.ts'),
  sync: async () => await import('./sync.ts'),
  events: async () => await import('./events.ts'),
  verify: async () => await import('./verify.ts'),
  token: async () => await import('./token.ts'),
  policy: async () => await import('./policy.ts'),
  htpasswd: async () => await import('./htpasswd.ts'),
  login: async () => await import('./login.ts'),
  smoke: async () => await import('./smoke.ts'),
};

const aliases: Readonly<Record<string, string>> = { sweep: 'purge-uploads' };

/**
 * Runs `stowage`. @returns the exit code: 0; 1 after a failure or for invalid settings, unless the command has another code for
 * them; 2 for invalid arguments
 */
export async function main([first, ...rest]: readonly string[]): Promise<number> {
  switch (first) {
    case undefined:
      console.error(await help());
      return 2;
    case '--version':
      console.log(`stowage ${manifest.version}`);
      return 0;
    case '--help':
    case '-h':
      console.log(await help());
      return 0;
    case 'help':
      return await main([...rest, '--help']);
    default:
      // As the original's image, whose only argument is its configuration file.
      if (/\.ya?ml$/.test(first)) return await runCommand('serve', [first, ...rest]);
      return await runCommand(first, rest);
  }
}

async function runCommand(given: string, args: readonly string[]): Promise<number> {
  const name = aliases[given] ?? given;
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load === undefined) {
    const what = given.startsWith('-') ? 'option' : 'command';
    const known = [...Object.keys(commands), ...Object.keys(aliases), '--help', '--version'];
    const hint = didYouMean(given, known) ?? 'stowage --help lists all of them';
    console.error(`${JSON.stringify(given)} is not a known ${what}; ${hint}`);
    return 2;
  }
  const { command } = await load();
  if (args.includes('--help') || args.includes('-h')) {
    console.log(command.usage);
    return 0;
  }
  try {
    return await command.run(args);
  } catch (error) {
    console.error(explain(name, error));
    if (!(error instanceof UsageError)) return command.failureCode ?? 1;
    console.error(`\n${command.usage}`);
    return 2;
  }
}

async function help(): Promise<string> {
  const rows = Object.entries(commands).map(async ([name, load]) => {
    const names = [name, ...Object.keys(aliases).filter((alias) => aliases[alias] === name)];
    return `  ${names.join(', ').padEnd(22)}${(await load()).command.summary}`;
  });
  return `Usage: stowage COMMAND [OPTION]…

${manifest.description}.

Commands:
${(await Promise.all(rows)).join('\n')}

Options:
  --help                print this help, or that of a command
  --version             print the version

Settings are environment variables, or in a configuration file; docs/configuration.md lists all of them.`;
}

/** The failure and its remedy in one line. */
function explain(name: string, error: unknown): string {
  if (error instanceof ConfigError || error instanceof UsageError) return error.message;
  if (!(error instanceof Error)) return String(error);
  return `${name} failed: ${reasonOf(error)}`;
}
