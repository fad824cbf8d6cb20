import assert from 'node:assert/strict';
import { gone, there, type History, type Span, type Value } from './history.ts';

/** How a store differs from one that shows every write immediately. */
export interface Weaknesses {
  /** Listings may miss what was just written, and still have what was just deleted. */
  readonly listingsLag?: boolean;
  /** An object that is written again is not there for a moment. */
  readonly rewritesFlicker?: boolean;
}

/** Something was said to be gone that cannot be, by a store that is known to do so. */
export class Flicker extends Error {
  override readonly name = 'Flicker';
}

/** What answers may say, given what was done so far. Its methods throw at what they may not. */
export class RegistryModel {
  readonly #history: History;
  readonly #tags: readonly string[];
  readonly #weaknesses: Weaknesses;

  constructor(history: History, tags: readonly string[], weaknesses: Weaknesses) {
    this.#history = history;
    this.#tags = tags;
    this.#weaknesses = weaknesses;
  }

  readBlob(repository: string, digest: string, value: Value, span: Span): void {
    this.#read(blobKey(repository, digest), value, span);
  }

  readManifest(repository: string, digest: string, value: Value, span: Span): void {
    this.#read(manifestKey(repository, digest), value, span);
  }

  /** @param value the digest of the manifest that a tag led to, or gone */
  readTag(repository: string, tag: string, value: Value, span: Span): void {
    const key = tagKey(repository, tag);
    const possible = this.#history.possible(key, span);
    if (value !== gone) {
      this.#read(key, value, span);
      this.readManifest(repository, value, there, span);
      return;
    }
    const manifests = [...possible].filter((digest) => digest !== gone);
    const mayBeGone = (digest: string) =>
      this.#history.possible(manifestKey(repository, digest), span).has(gone);
    if (!possible.has(gone) && !manifests.some(mayBeGone)) this.#fail(key, value);
  }

  readTags(repository: string, tags: readonly string[], span: Span): void {
    assert.deepEqual(tags, [...new Set(tags)].sort(), 'the tags are not in order');
    assert.deepEqual(
      tags.filter((tag) => !this.#tags.includes(tag)),
      [],
      'nobody has pushed these tags',
    );
    if (this.#weaknesses.listingsLag === true) return;
    for (const tag of this.#tags) {
      const possible = this.#history.possible(tagKey(repository, tag), span);
      const right = tags.includes(tag) ? possible.size > (possible.has(gone) ? 1 : 0) : possible.has(gone);
      if (!right)
        this.#fail(
          tagKey(repository, tag),
          tags.includes(tag) ? 'listed' : `not among ${JSON.stringify(tags)} at ${JSON.stringify(span)}`,
        );
    }
  }

  wroteBlob(repository: string, digest: string, value: Value, span: Span): void {
    this.#history.wrote(blobKey(repository, digest), value, span);
  }

  wroteManifest(repository: string, digest: string, span: Span, tag?: string): void {
    this.#history.wrote(manifestKey(repository, digest), there, span);
    if (tag !== undefined) this.#history.wrote(tagKey(repository, tag), digest, span);
  }

  deletedTag(repository: string, tag: string, span: Span): void {
    this.#history.wrote(tagKey(repository, tag), gone, span);
  }

  /** With it all tags go that point at it. */
  deletedManifest(repository: string, digest: string, span: Span): void {
    for (const tag of this.#tags) {
      const key = tagKey(repository, tag);
      const possible = this.#history.possible(key, span);
      if (!possible.has(digest)) continue;
      if (possible.size === 1) this.#history.wrote(key, gone, span);
      else this.#history.mayHaveWritten(key, gone, span);
    }
    this.#history.wrote(manifestKey(repository, digest), gone, span);
  }

  /** A write has started and may never get a response. */
  mayPushBlob(repository: string, digest: string, start: number): void {
    this.#history.mayWrite(blobKey(repository, digest), there, start);
  }

  mayPushManifest(repository: string, digest: string, start: number, tag?: string): void {
    this.#history.mayWrite(manifestKey(repository, digest), there, start);
    if (tag !== undefined) this.#history.mayWrite(tagKey(repository, tag), digest, start);
  }

  mayDeleteBlob(repository: string, digest: string, start: number): void {
    this.#history.mayWrite(blobKey(repository, digest), gone, start);
  }

  mayDeleteManifest(repository: string, digest: string, start: number): void {
    this.#history.mayWrite(manifestKey(repository, digest), gone, start);
    for (const tag of this.#tags) this.#history.mayWrite(tagKey(repository, tag), gone, start);
  }

  mayDeleteTag(repository: string, tag: string, start: number): void {
    this.#history.mayWrite(tagKey(repository, tag), gone, start);
  }

  #read(key: string, value: Value, span: Span): void {
    if (!this.#history.possible(key, span).has(value)) this.#fail(key, value);
  }

  #fail(key: string, value: Value): never {
    if (value === gone && this.#weaknesses.rewritesFlicker === true) throw new Flicker(key);
    assert.fail(`an answer says that something is ${value}, which cannot be: ${this.#history.tell(key)}`);
  }
}

const blobKey = (repository: string, digest: string) => `blob ${digest} of ${repository}`;
const manifestKey = (repository: string, digest: string) => `manifest ${digest} of ${repository}`;
const tagKey = (repository: string, tag: string) => `tag ${tag} of ${repository}`;
