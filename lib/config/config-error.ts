/** Invalid settings. The message lists every fault with its remedy. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly string[];
  /** @param where such as "in config.yml" */
  constructor(faults: readonly string[], where?: string) {
    super(
      [
        where === undefined ? 'Invalid settings:' : `Invalid settings ${where}:`,
        ...faults.map((fault) => `  - ${fault}`),
      ].join('\n'),
    );
    this.faults = faults;
  }
}
