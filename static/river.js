// Runs before the scripts of River's pages. They then skip testing whether they
// may compile code from strings, which the pages' policy forbids.
globalThis.__zod_globalConfig = { jitless: true };
