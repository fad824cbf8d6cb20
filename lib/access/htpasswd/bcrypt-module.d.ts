/** The package describes its whole only. */
declare module 'hash-wasm/dist/bcrypt.umd.min.js';
