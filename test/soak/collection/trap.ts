import { setTimeout as delay } from 'node:timers/promises';
import type { BucketRequest, Fate, Received } from '../../servers/bucket-proxy.ts';
import type { Random } from '../random.ts';

/** A process is caught at one of this many requests. */
const withinRequests = 20;

/** One that asks for nothing is caught after so many milliseconds. */
const patienceMs = 1500;

interface Armed {
  /** Requests until it is caught. */
  left: number;
  /** Whether only those count that change the bucket. */
  readonly onlyChanges: boolean;
  readonly act: () => void;
  /** What becomes of the request meanwhile: it never comes, or comes so many milliseconds later. */
  readonly lateMs: number | undefined;
  readonly timer: NodeJS.Timeout;
}

/** Catches a process at one of its next requests to the bucket: before it is carried out, or when it is under way. */
export class Trap {
  readonly #seesRequests: boolean;
  #armed: Armed | undefined;

  /** @param seesRequests whether {@link intercept} is called for them; otherwise any moment will do */
  constructor(seesRequests: boolean) {
    this.#seesRequests = seesRequests;
  }

  /** @param act what harms the process  @param longestMs by how much a request may be late */
  set(random: Random, act: () => void, longestMs: number): void {
    if (!this.#seesRequests) {
      act();
      return;
    }
    if (this.#armed !== undefined) return;
    const timer = setTimeout(() => {
      this.#armed = undefined;
      act();
    }, patienceMs);
    this.#armed = {
      left: random.below(withinRequests),
      onlyChanges: random.onceIn(2),
      act,
      lateMs: random.onceIn(3) ? undefined : random.onceIn(2) ? 0 : random.below(longestMs),
      timer,
    };
  }

  /** For each request of the process. */
  readonly intercept = ({ method }: BucketRequest): Fate | Received | undefined => {
    const armed = this.#armed;
    if (armed === undefined || (armed.onlyChanges && ['GET', 'HEAD'].includes(method))) return undefined;
    if (armed.left-- > 0) return undefined;
    this.remove();
    const { act, lateMs } = armed;
    if (lateMs === undefined) {
      act();
      return 'drop-request';
    }
    const received = async () => {
      act();
      await delay(lateMs);
    };
    return { received };
  };

  /** The process has ended. */
  remove(): void {
    clearTimeout(this.#armed?.timer);
    this.#armed = undefined;
  }
}
