/*
 * bcrypt alone: the module `hash-wasm` has it too, but then it would be in the code that each function loads at its start.
 */
import type { bcrypt as hashType, bcryptVerify as verifyType } from 'hash-wasm';
import module from 'hash-wasm/dist/bcrypt.umd.min.js';

interface Bcrypt {
  readonly bcrypt: typeof hashType;
  readonly bcryptVerify: typeof verifyType;
}

export const { bcrypt, bcryptVerify } = module as Bcrypt;
