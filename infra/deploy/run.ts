/** What all steps of one run of the command have. */
export interface Run {
  /** Of the packages; gone at the end. */
  readonly folder: string;
  /** Aborted by a signal, with `Interrupted` as its reason. */
  readonly interrupted: AbortSignal;
  /** Prints a line of progress. */
  readonly say: (text: string) => void;
}
