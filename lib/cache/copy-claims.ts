/** The right to copy a blob, which one process of a machine has at a time. */
export interface CopyClaim {
  /** Whether another one had it before: the blob may be in the bucket now. */
  readonly hasWaited: boolean;
  /** Tells those that wait how many bytes the blob has. */
  opened(size: number): void;
  end(): void;
}

/** Decides which process copies a blob. */
export interface CopyClaims {
  /**
   * Waits until nobody else copies it.
   * @param opened told the size of the blob by whoever copies it meanwhile
   */
  take(key: string, opened: (size: number) => void): Promise<CopyClaim>;
}

/** For a process that serves alone, and never begins a copy twice. */
export const unshared: CopyClaims = {
  take: async () =>
    await Promise.resolve({ hasWaited: false, opened: () => undefined, end: () => undefined }),
};
