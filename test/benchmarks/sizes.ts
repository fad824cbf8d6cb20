/** How large blobs are, and how long rates are measured. */
export interface Sizes {
  readonly MiB: {
    readonly folder: number;
    readonly s3: number;
    /** Each of several at once. */
    readonly concurrent: number;
    /** A blob pushed in chunks. */
    readonly chunked: number;
    /** Each of those at which memory is measured. */
    readonly memory: number;
  };
  /** Seconds that a rate is measured, and before. */
  readonly seconds: number;
  readonly warmUp: number;
  /** Downloads of one measurement. */
  readonly pulls: number;
  /** Repositories of the long catalog. */
  readonly repositories: number;
  readonly rounds: number;
}

export const fullSizes: Sizes = {
  MiB: { folder: 512, s3: 256, concurrent: 128, chunked: 128, memory: 1024 },
  seconds: 2.5,
  warmUp: 1,
  pulls: 3,
  repositories: 100_000,
  rounds: 3,
};

export const quickSizes: Sizes = {
  MiB: { folder: 128, s3: 64, concurrent: 32, chunked: 32, memory: 256 },
  seconds: 1,
  warmUp: 0.5,
  pulls: 2,
  repositories: 10_000,
  rounds: 3,
};
