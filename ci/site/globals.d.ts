/** What `cargo site` writes into dldna_web.js, and axe, which check.mjs puts into the pages. */
declare function dldnaGlue(document?: undefined): typeof wasm_bindgen;
declare const dldnaModule: Promise<Uint8Array<ArrayBuffer>>;
declare const dldnaWeb: Promise<wasm_bindgen.InitOutput>;
declare const axe: { run(context: unknown, options: object): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
