import type { Change } from './change.ts';

/** What became of a write. */
export type Resolution =
  /** These changes can be seen, or could be: mostly the one that was announced, of a push perhaps without some tags. */
  | { readonly outcome: 'happened'; readonly changes: readonly Change[] }
  /** It did not happen, and can happen no more: its intent can be deleted. */
  | { readonly outcome: 'dropped' }
  /** It may still happen. */
  | {
      readonly outcome: 'undecided';
      /** Whether it may have happened and been answered, so that no later event of its repository is delivered before it is decided. */
      readonly blocks: boolean;
    };
