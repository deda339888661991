// Stands before the scripts of River's own pages: they need not find out
// whether they may compile code from strings, which the pages' policy forbids.
globalThis.__zod_globalConfig = { jitless: true };
