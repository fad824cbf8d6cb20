/** Images that each program pushes. */
export const imagesMade = 4;

/** A client as people use them, with some images of its own. */
export interface Program {
  readonly name: string;
  /** @param image its number, below {@link imagesMade}  @param to host, repository and tag */
  push(image: number, to: string): Promise<void>;
  /** Pulls all of an image, which the program compares with the digests in its manifest. */
  pull(from: string): Promise<void>;
  stop(): Promise<void>;
}
