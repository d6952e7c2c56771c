// Opens every page of the site in Chromium: light and dark, wide and narrow. A message on the console, a picture that is missing, a
// page that moves sideways, or a fault that axe finds ends it with an error.
//   node check.mjs FOLDER, with playwright-core and axe-core beside it
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 375, height: 800 };
/** What axe looks at: alternative texts, names of controls, and contrast in the sense of WCAG 2 AA. */
const RULES = ["image-alt", "button-name", "link-name", "label", "color-contrast", "heading-order"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const folder = process.argv[2];
const pages = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".html") && !/^(doc|_static)\//.test(name))
    .sort();
if (pages.length < 20) throw new Error(`${pages.length} pages in ${folder}`);

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
/** @type {string[]} */
const faults = [];
const waiting = [...pages];
await Promise.all([0, 1].map(async () => {
    for (let name = waiting.shift(); name; name = waiting.shift()) await look(name);
}));
await browser.close();
console.log(`${pages.length} pages, ${faults.length} faults`);
for (const fault of faults) console.log(`  ${fault}`);
process.exit(faults.length ? 1 : 0);

/** @param {string} name */
async function look(name) {
    const page = await browser.newPage({ viewport: WIDE });
    const complain = (/** @type {string} */ fault) => faults.push(`${name}: ${fault}`);
    page.on("console", (message) => message.type() === "error" && complain(message.text()));
    page.on("pageerror", (error) => complain(error.message));
    await page.goto(pathToFileURL(join(folder, name)).href);
    await page.evaluate(() => document.querySelectorAll("img").forEach((image) => (image.loading = "eager")));
    await page.waitForLoadState("networkidle");
    if (name === "explore/filter.html") for (const fault of await page.evaluate(wrongPixels)) complain(fault);
    for (const source of await page.evaluate(missingPictures)) complain(`no picture at ${source}`);
    for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
        await page.emulateMedia({ colorScheme });
        for (const size of [WIDE, NARROW]) {
            await page.setViewportSize(size);
            const sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
            if (sideways > 0) complain(`${sideways} pixels too wide at ${size.width}, ${colorScheme}`);
        }
        await page.setViewportSize(WIDE);
        for (const fault of await accessibility(page)) complain(`${colorScheme}: ${fault}`);
    }
    await page.close();
}

/** Some pixels of convolutions by the crate beside those of four loops. */
async function wrongPixels() {
    // @ts-expect-error these are in the page
    await dldnaWeb;
    const [height, width] = [37, 53];
    const picture = Float32Array.from({ length: height * width }, (_, i) => Math.sin(i * i));
    const faults = [];
    for (const [side, stride, padding, dilation] of [[3, 1, 1, 1], [5, 2, 0, 1], [3, 3, 4, 3], [1, 1, 0, 1]]) {
        const kernel = Float32Array.from({ length: side * side }, (_, i) => Math.cos(i));
        // @ts-expect-error
        const made = wasm_bindgen.filter(picture, width, kernel, stride, padding, dilation);
        const pixels = made.pixels;
        for (let row = 0; row < made.height; row++) {
            for (let column = 0; column < made.width; column++) {
                let sum = 0;
                for (let i = 0; i < side * side; i++) {
                    const y = row * stride - padding + Math.floor(i / side) * dilation;
                    const x = column * stride - padding + (i % side) * dilation;
                    if (y >= 0 && x >= 0 && y < height && x < width) sum += picture[y * width + x] * kernel[i];
                }
                const found = pixels[row * made.width + column];
                if (!(Math.abs(found - sum) < 1e-4)) faults.push(`${[side, stride, padding, dilation]}: ${found} for ${sum}`);
            }
        }
    }
    return faults.slice(0, 3);
}

function missingPictures() {
    return [...document.images].filter((image) => !image.naturalWidth).map((image) => image.src.slice(-60));
}

/** @param {import("playwright-core").Page} page */
async function accessibility(page) {
    await page.evaluate(AXE);
    const rules = { runOnly: RULES, resultTypes: ["violations"] };
    // @ts-expect-error `axe` is in the page
    const found = await page.evaluate((rules) => axe.run(document, rules), rules);
    return found.violations.map(
        (/** @type {any} */ { id, nodes }) => `${id}, ${nodes.length} times, such as ${nodes[0].html.slice(0, 120)}`,
    );
}
