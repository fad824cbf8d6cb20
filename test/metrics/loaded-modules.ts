import { appendFileSync } from 'node:fs';
import { registerHooks } from 'node:module';

/* Loaded before a program, by --import, this writes the URL of each module that the program loads into a file. */
const list = process.env['TEST_LOADED_MODULES'] ?? '';
registerHooks({
  load: (url, context, next) => {
    appendFileSync(list, `${url}\n`);
    return next(url, context);
  },
});
