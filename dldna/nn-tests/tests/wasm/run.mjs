// Prints what the module's `value` gives until there is nothing more, one number a line.
import { readFile } from "node:fs/promises";

const module = await WebAssembly.compile(await readFile(process.argv[2]));
// `getrandom` brings functions that a page's JavaScript provides. Nothing here needs a random seed from outside.
const imports = {};
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  (imports[from] ??= {})[name] = () => {
    throw new Error(`${from}.${name} is not there`);
  };
}
const { exports } = await WebAssembly.instantiate(module, imports);
for (let index = 0; ; index += 1) {
  const value = exports.value(index);
  if (Number.isNaN(value)) break;
  console.log(value);
}
