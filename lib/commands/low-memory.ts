/*
 * What keeps the memory of a server low; a process must have it from its beginning.
 */

/**
 * Flags of V8. The pieces of a body that pass are small objects to it with much memory outside of its heap: with a small
 * space for new objects it looks for dead ones often, which takes 40 to 60 MB less. A heap that grows by 20 % at a time, and
 * not to a multiple of what is alive there under load, takes some 200 MB less.
 */
export const memoryFlags: readonly string[] = ['--max-semi-space-size=2', '--heap-growing-percent=20'];

/** Settings of glibc's malloc, with which it gives the memory of buffers back when they are freed. */
export const memoryEnvironment: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: '65536',
  MALLOC_TRIM_THRESHOLD_: '4194304',
};

/**
 * Starts this program again in this same process with what it lacks of the above, so that its id, its signals and its
 * streams stay. What was given with other values keeps them. `npm run serve` gives all of it at once, which is faster.
 */
export function keepMemoryLow(): void {
  const { argv, env, execArgv, execPath } = process;
  const lacksFlag = memoryFlags.some((flag) => !has(execArgv, flag));
  const lacksVariable = Object.keys(memoryEnvironment).some((name) => env[name] === undefined);
  if (!lacksFlag && !lacksVariable) return;
  const args = [execPath, ...memoryFlags, ...execArgv, ...argv.slice(1)];
  try {
    // Windows has no execve.
    process.execve?.(execPath, args, { ...memoryEnvironment, ...env });
  } catch {
    // Node's --permission forbids it: the server takes more memory then.
  }
}

function has(args: readonly string[], flag: string): boolean {
  const [name = ''] = flag.split('=');
  return args.some((arg) => arg.startsWith(`${name}=`));
}
