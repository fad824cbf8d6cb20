/** The value of a secret, as GetSecretValue answers it. */
export interface SecretValue {
  readonly VersionId?: string | undefined;
  readonly SecretString?: string | undefined;
  readonly SecretBinary?: Uint8Array | undefined;
}

/** Asks for values of secrets. */
export interface Retrieval {
  /** Rejects with an error whose name is that of AWS's error, or of the fault of the connection. @param id an ARN or a name */
  retrieve(id: string): Promise<SecretValue>;
  close(): void;
}

/** How often a secret is asked for, and milliseconds for each time. */
export const maxAttempts = 2;
export const attemptTimeoutMs = 2_000;
