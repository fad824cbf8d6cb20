/** A registry under test, ours or another, for plain HTTP clients. */
export interface Registry {
  /** Host and port, as they stand in an image's name: `127.0.0.1:5000`. */
  readonly address: string;
  stop(): Promise<void>;
}

/** Starts a registry whose images lie in `root`. */
export type StartRegistry = (root: string) => Promise<Registry>;

/** Whether a registry answers at an address, be it with a challenge. */
export async function serves(address: string): Promise<boolean> {
  const response = await fetch(`http://${address}/v2/`);
  await response.body?.cancel();
  return response.status === 200 || response.status === 401;
}
